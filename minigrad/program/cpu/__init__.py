"""Graphs on the CPU: cut along rows, and run part by part on several threads."""
