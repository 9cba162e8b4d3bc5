//! Doubles, conformance suites and stand-ins for tests; never a normal dependency.
