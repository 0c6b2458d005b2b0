"""The lecture as claims that compute both sides (McAllester, TTIC 31230, winter 2018, the slides on VAEs).

slides/   the claims, one file a theme, by the number of the slide on which it begins; each ends with its pictures
models/   what slides share: models whose evidence is known (`exact`), the ELBO of all of them (`bound`), autoencoders
          as `vae train` makes them (`trained`), at a chosen rate (`coders`), and for two pixels (`autoencoders`)
claims    what a claim is, and the three ways in which its sides are compared
run       computes both sides of claims, and draws their pictures
page      the page that shows them

To add a claim, write a function of a Setting that returns Sides in the file of its slide, under `@claim`, and plant a
mistake that makes it fail in the file of the same name in tests/vae/lecture/planted.
"""

from vae.lecture import slides  # noqa: F401 (registers the claims)
from vae.lecture.claims import CLAIMS, Claim, Setting, Sides

__all__ = ["CLAIMS", "Claim", "Setting", "Sides"]
