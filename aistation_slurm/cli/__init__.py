"""The command line: parse, call one function of the floor below, show."""
