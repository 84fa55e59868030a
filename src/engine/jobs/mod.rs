//! The jobs of the lenses: each opens the models it needs through the cache, runs its method and brings a result; and
//! those that fetch and check models.

pub mod ask;
pub mod edit;
pub mod features;
pub mod fetch;
pub mod specify;
pub mod splats;
pub mod verify;
