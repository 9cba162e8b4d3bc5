//! The simulators, tested through the engine's ports.

#[cfg(test)]
mod charge;
#[cfg(test)]
mod cloud;
#[cfg(test)]
mod settlement;
#[cfg(test)]
mod stage;
