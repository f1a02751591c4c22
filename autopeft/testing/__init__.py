"""Contract suites that third parties can run on their methods and tasks."""
