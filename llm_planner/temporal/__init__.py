"""`TURN_ENGINE=temporal`: the engine for fleets that run Temporal (extra `[temporal]`); imported only then."""
