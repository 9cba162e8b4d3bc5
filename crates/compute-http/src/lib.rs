//! The public HTTP API: axum routes, extractors and rendering.
