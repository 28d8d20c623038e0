"""Measurements beside published providers; ``make bench`` runs them all and writes them into the docs."""
