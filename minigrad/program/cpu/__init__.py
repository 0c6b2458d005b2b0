"""Programs on the host: cut along rows, part by part, over threads."""
