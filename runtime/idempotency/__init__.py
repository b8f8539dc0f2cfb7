"""Requests that are sent again: whoever repeats a key gets the lost answer, and nothing is made twice."""
