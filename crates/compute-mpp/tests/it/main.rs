//! The crate as its users see it: golden data, hostile input, and both sides talking to each other.

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod priced_route;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod shop;
#[cfg(test)]
mod tampering;
#[cfg(test)]
mod tempo;
#[cfg(test)]
mod vectors;
