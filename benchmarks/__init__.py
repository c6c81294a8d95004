"""Torchlurk beside what a user would pick instead, on the same machine, weights and images."""
