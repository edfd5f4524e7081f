"""The property-test harness: strategies, laws and state machines that run against any store.

``pytest properties --store module:factory`` runs them against somebody else's: ``factory()`` gives a fresh,
empty :class:`interpreters.store.Store`.
"""
