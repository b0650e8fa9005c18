//! What conditions say of requests, what is refused, and that nothing panics.
