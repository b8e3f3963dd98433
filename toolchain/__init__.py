"""The real engines of the tests and the demo, brought to a bare machine into a cache outside the checkout.

Standard library only, and nothing of sf: it has to run before anything is installed.
"""
