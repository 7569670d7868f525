"""The way out for adapters.

``line`` makes connections with one deadline that go only where they may, ``http`` sends requests on them and says what
their answers mean, ``tokens`` gets the access tokens that such requests need.
"""
