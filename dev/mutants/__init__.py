"""Mutation tests: change one place of the code, run the tests that belong to it, and see whether one of them fails.

`make mutants` samples; `make mutants PACKAGE=decide FULL=1` tries every change of one package; `make mutants KNOWN=1` tries the
changes of `known.toml`, which no test noticed at some time. docs/decisions/0013 says why the tool is our own.
"""
