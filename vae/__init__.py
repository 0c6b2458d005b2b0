"""A variational autoencoder on minigrad that proves its mathematics. `python -m vae --help` lists what it does."""
