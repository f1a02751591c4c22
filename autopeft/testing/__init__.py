"""Contract suites that third parties can run on their methods, tasks and storages."""
