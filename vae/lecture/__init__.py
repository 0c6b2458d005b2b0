"""The slides on VAEs (McAllester, TTIC 31230, winter 2018) as claims: functions that compute both sides.

    slides/   the claims, one file per theme, numbered by the slide on which it begins; pictures
              at the end of each file
    models/   what several slides share: models with a known evidence (exact), the ELBO of every
              model (bound), autoencoders as `vae train` trains them (trained), of a given rate
              (coders), for two pixels (autoencoders)
    claims    the Claim record, and the three comparisons between its sides
    run       computes both sides of claims and draws their pictures
    page      writes the page that shows them

To add a claim, write a function from a Setting to Sides in the file of its slide, decorate it with `@claim`, and
plant a mistake that makes it fail in the file of the same name in tests/vae/lecture/planted.
"""

from vae.lecture import slides  # noqa: F401 (registers the claims)
from vae.lecture.claims import CLAIMS, Claim, Setting, Sides

__all__ = ["CLAIMS", "Claim", "Setting", "Sides"]
