//! Answers that take their time.

use std::future::Future;
use std::pin::Pin;

/// What comes later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
