"""The lecture as claims that compute both sides (McAllester, TTIC 31230, winter 2018, the slides on VAEs).

slides/   the claims, one file a theme, by the number of the slide on which it begins
models/   what they share: models whose evidence is known, and small trained autoencoders
claims    what a claim is, and how its two sides are compared
run       computes claims one after the other
page      writes them up
"""

from vae.lecture import slides  # noqa: F401 (registers the claims)
from vae.lecture.claims import CLAIMS, Claim, Setting, Sides

__all__ = ["CLAIMS", "Claim", "Setting", "Sides"]
