//! The same random legal sessions on two brokers, and what their clients see.
//!
//! [`script`] makes a session, a list of steps of a few clients; [`play`] does them one by one against a broker and
//! writes down what each client saw in each; [`compare`] says where two such records differ in more than the
//! specification leaves open. `script` and `compare` are pure, and nothing here knows which broker is which, except
//! for `compare`, whose first record is ours.

pub mod compare;
pub mod play;
pub mod script;
