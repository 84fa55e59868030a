//! The models that are loaded now, within a memory budget, the one unused for longest dropped first.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Loaded models by key (what it is, where it lies, on which device and precision).
///
/// Lives on the inference thread. A model that is in use stays alive through its `Arc` even when dropped here.
#[derive(Debug)]
pub struct ModelCache {
    budget: u64,
    clock: u64,
    entries: HashMap<String, Entry>,
    /// [`ModelCache::bytes`], for whoever looks from another thread.
    held: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Entry {
    model: Arc<dyn Any + Send + Sync>,
    bytes: u64,
    used: u64,
}

impl ModelCache {
    /// An empty cache that keeps models of at most `budget` bytes together.
    #[must_use]
    pub fn new(budget: u64) -> Self {
        Self { budget, clock: 0, entries: HashMap::new(), held: Arc::default() }
    }

    /// The model of that key, loaded by `load` if it is not there. Room for `bytes` is made before loading.
    ///
    /// # Errors
    /// Whatever `load` returns; the cache is then without that model.
    pub fn get_or_load<T, E>(&mut self, key: &str, bytes: u64, load: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E>
    where
        T: Send + Sync + 'static,
    {
        self.clock += 1;
        if let Some(entry) = self.entries.get_mut(key)
            && let Ok(model) = Arc::clone(&entry.model).downcast::<T>()
        {
            entry.used = self.clock;
            return Ok(model);
        }
        self.entries.remove(key);
        self.make_room(bytes);
        self.note();
        let model = Arc::new(load()?);
        let entry = Entry { model: Arc::<T>::clone(&model), bytes, used: self.clock };
        self.entries.insert(key.to_owned(), entry);
        self.note();
        Ok(model)
    }

    /// Drops models, oldest use first, until `bytes` more fit the budget.
    fn make_room(&mut self, bytes: u64) {
        while !self.entries.is_empty() && self.bytes() + bytes > self.budget {
            let oldest = self.entries.iter().min_by_key(|(_, e)| e.used).map(|(key, _)| key.clone());
            if let Some(key) = oldest {
                self.entries.remove(&key);
            }
        }
    }

    /// Bytes of the models held now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.entries.values().map(|e| e.bytes).sum()
    }

    /// Follows [`ModelCache::bytes`], readable from any thread.
    #[must_use]
    pub fn held(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.held)
    }

    fn note(&self) {
        self.held.store(self.bytes(), Ordering::Relaxed);
    }

    /// Whether a model of that key is held.
    #[must_use]
    pub fn holds(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Drops everything (after a failure, or at the person's wish).
    pub fn clear(&mut self) {
        self.entries.clear();
        self.note();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(cache: &mut ModelCache, key: &str, bytes: u64) -> bool {
        let mut loaded = false;
        let result: Result<_, ()> = cache.get_or_load(key, bytes, || {
            loaded = true;
            Ok(key.to_owned())
        });
        assert_eq!(result.as_deref(), Ok(&key.to_owned()));
        loaded
    }

    #[test]
    fn the_one_unused_for_longest_goes_first() {
        let mut cache = ModelCache::new(10);
        assert!(load(&mut cache, "a", 4));
        assert!(load(&mut cache, "b", 4));
        assert!(!load(&mut cache, "a", 4));
        assert!(load(&mut cache, "c", 4));
        assert!(cache.holds("a") && cache.holds("c") && !cache.holds("b"));
        assert_eq!((cache.bytes(), cache.held().load(Ordering::Relaxed)), (8, 8));
        cache.clear();
        assert_eq!(cache.held().load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_model_larger_than_the_budget_is_held_alone() {
        let mut cache = ModelCache::new(10);
        assert!(load(&mut cache, "a", 4));
        assert!(load(&mut cache, "huge", 40));
        assert!(!cache.holds("a"));
        assert!(!load(&mut cache, "huge", 40));
    }

    #[test]
    fn a_failed_load_leaves_nothing_behind() {
        let mut cache = ModelCache::new(10);
        let failed: Result<Arc<String>, &str> = cache.get_or_load("a", 4, || Err("broken"));
        assert_eq!(failed.err(), Some("broken"));
        assert!(!cache.holds("a"));
    }
}
