"""What pytest wants at the root of the repository: pytester, which runs pytest within the tests of the plugin."""

pytest_plugins = ["pytester"]
