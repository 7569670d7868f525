"""An example of a package that adds an adapter to Rathaus-Hub."""
