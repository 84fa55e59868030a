//! How work is shared out over threads: pieces of one output that never overlap.

use std::marker::PhantomData;

/// An output of which several threads each write their own part.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    at: *mut f32,
    len: usize,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: a `Parts` only hands out raw pointers; whoever writes through them promises that parts do not overlap.
unsafe impl Send for Parts<'_> {}
// SAFETY: as above.
unsafe impl Sync for Parts<'_> {}

impl<'a> Parts<'a> {
    /// All of `whole`, for as long as it is borrowed.
    #[must_use]
    pub fn new(whole: &'a mut [f32]) -> Self {
        Self { at: whole.as_mut_ptr(), len: whole.len(), life: PhantomData }
    }

    /// The element `offset`, of which `count` follow.
    ///
    /// # Panics
    /// If they are not all inside; that they are nobody else's is the caller's to see to.
    #[must_use]
    pub fn at(&self, offset: usize, count: usize) -> *mut f32 {
        assert!(offset + count <= self.len, "a part of an output lies inside it");
        // SAFETY: inside the slice, as just checked.
        unsafe { self.at.add(offset) }
    }
}
