//! Half-precision floats.
