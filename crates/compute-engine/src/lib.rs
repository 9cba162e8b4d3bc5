//! The use cases of the marketplace, its durable operations, and the ports it needs.
