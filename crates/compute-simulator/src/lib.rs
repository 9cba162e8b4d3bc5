//! The simulated cloud and the simulated settlement network of development mode.
