//! What the Edit panel is about to run: the wish, its caption, the instruction rows and the settings.
//!
//! Plain data, undone and redone as a whole, kept in the autosaved document, and stored with every version it made.

use serde::{Deserialize, Serialize};

use crate::app::mask::Mask;
use crate::edit::request::{EditRequest, EditSettings, Specific};
use crate::picture::Picture;

/// How many instructions are proposed unless the person says otherwise, and the most.
pub(crate) const COUNT: usize = 3;
pub(crate) const MOST: usize = 6;

/// One concrete instruction as the person sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Stays the same while the row is moved and edited.
    pub(crate) id: u64,
    pub(crate) text: String,
    pub(crate) weight: f64,
    pub(crate) enabled: bool,
    pub(crate) mask: Option<Mask>,
    /// The wording that was proposed; `None` for rows written by hand.
    pub(crate) proposed: Option<String>,
}

impl Row {
    /// Whether it takes part in a run.
    pub(crate) fn is_active(&self) -> bool {
        self.enabled && self.weight != 0.0 && !self.text.trim().is_empty()
    }

    /// Whether its words are no longer those that were proposed.
    pub(crate) fn is_reworded(&self) -> bool {
        self.proposed.as_ref().is_some_and(|words| *words != self.text)
    }
}

/// Everything that is set up for the next run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Draft {
    pub(crate) wish: String,
    pub(crate) caption: String,
    /// How many instructions to propose.
    pub(crate) count: usize,
    pub(crate) rows: Vec<Row>,
    /// The wordings of the last proposal, in their order.
    pub(crate) proposal: Vec<String>,
    pub(crate) settings: EditSettings,
    /// Off: every run takes a new seed.
    pub(crate) keep_seed: bool,
    last_id: u64,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            wish: String::new(),
            caption: String::new(),
            count: COUNT,
            rows: Vec::new(),
            proposal: Vec::new(),
            settings: EditSettings::default(),
            keep_seed: true,
            last_id: 0,
        }
    }
}

impl Draft {
    /// Nothing set up yet but the settings.
    pub(crate) fn new(settings: EditSettings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Adds a row at the end and returns its id.
    pub(crate) fn add(&mut self, text: impl Into<String>, proposed: bool) -> u64 {
        let text = text.into();
        self.last_id += 1;
        let proposed = proposed.then(|| text.clone());
        self.rows.push(Row { id: self.last_id, text, weight: 1.0, enabled: true, mask: None, proposed });
        self.last_id
    }

    pub(crate) fn row_mut(&mut self, id: u64) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.id == id)
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.rows.retain(|row| row.id != id);
    }

    /// Moves a row `steps` down (negative: up), staying within the list.
    pub(crate) fn shift(&mut self, id: u64, steps: isize) {
        if let Some(at) = self.rows.iter().position(|row| row.id == id) {
            let row = self.rows.remove(at);
            let to = at.saturating_add_signed(steps).min(self.rows.len());
            self.rows.insert(to, row);
        }
    }

    /// Takes a new proposal: it replaces the rows of the old one; rows written by hand stay below it.
    pub(crate) fn propose(&mut self, wordings: Vec<String>) {
        let by_hand: Vec<Row> = self.rows.drain(..).filter(|row| row.proposed.is_none()).collect();
        for words in &wordings {
            self.add(words, true);
        }
        self.rows.extend(by_hand);
        self.proposal = wordings;
    }

    /// Gives a row other words, as proposed.
    pub(crate) fn reword(&mut self, id: u64, words: String) {
        let Some(row) = self.row_mut(id) else { return };
        let before = row.proposed.replace(words.clone());
        row.text.clone_from(&words);
        match self.proposal.iter_mut().find(|known| before.as_ref() == Some(known)) {
            Some(known) => *known = words,
            None => self.proposal.push(words),
        }
    }

    /// Whether [`Draft::restore`] would change something.
    pub(crate) fn differs_from_proposal(&self) -> bool {
        let proposed = self.rows.iter().filter(|row| row.proposed.is_some());
        let now: Vec<_> = proposed.map(|row| (row.text.as_str(), row.weight, row.enabled)).collect();
        let then: Vec<_> = self.proposal.iter().map(|words| (words.as_str(), 1.0, true)).collect();
        !self.proposal.is_empty() && now != then
    }

    /// Goes back to the proposal: its wordings and order, all on, at weight 1. Regions and rows by hand stay.
    pub(crate) fn restore(&mut self) {
        let mut old = std::mem::take(&mut self.rows);
        for words in self.proposal.clone() {
            match old.iter().position(|row| row.proposed.as_ref() == Some(&words)) {
                Some(at) => {
                    let row = old.remove(at);
                    self.rows.push(Row { text: words, weight: 1.0, enabled: true, ..row });
                }
                None => {
                    self.add(words, true);
                }
            }
        }
        self.rows.extend(old.into_iter().filter(|row| row.proposed.is_none()));
    }

    /// How many rows take part in a run.
    pub(crate) fn active(&self) -> usize {
        if self.settings.plain { 0 } else { self.rows.iter().filter(|row| row.is_active()).count() }
    }

    /// Why there is nothing to run, if there is nothing.
    pub(crate) fn lacks(&self) -> Option<&'static str> {
        (self.wish.trim().is_empty() && self.active() == 0).then_some("Say what to change, then run it.")
    }

    /// Only row `k` on (its place in the list).
    pub(crate) fn solo(&self, k: usize) -> Self {
        let mut draft = self.clone();
        for (index, row) in draft.rows.iter_mut().enumerate() {
            row.enabled &= index == k;
        }
        draft
    }

    /// Row `k` off.
    pub(crate) fn without(&self, k: usize) -> Self {
        let mut draft = self.clone();
        if let Some(row) = draft.rows.get_mut(k) {
            row.enabled = false;
        }
        draft
    }

    /// The request for the engine. Regions become full-size here, so this is for the inference thread.
    pub(crate) fn to_request(&self, picture: Picture) -> EditRequest {
        let size = picture.size();
        let region = |mask: &Mask| (!mask.is_empty() && mask.source() == size).then(|| mask.to_region());
        let specifics = self
            .rows
            .iter()
            .map(|row| Specific {
                text: row.text.clone(),
                weight: row.weight as f32,
                enabled: row.enabled,
                region: row.mask.as_ref().and_then(region),
            })
            .collect();
        EditRequest {
            picture,
            instruction: self.wish.clone(),
            caption: self.caption.clone(),
            specifics,
            settings: self.settings.clone(),
        }
    }

    /// A draft that runs what `request` ran.
    pub(crate) fn from_request(request: &EditRequest) -> Self {
        let mut draft = Self {
            wish: request.instruction.clone(),
            caption: request.caption.clone(),
            settings: request.settings.clone(),
            ..Self::default()
        };
        for specific in &request.specifics {
            let id = draft.add(specific.text.clone(), false);
            if let Some(row) = draft.row_mut(id) {
                row.weight = f64::from(specific.weight);
                row.enabled = specific.enabled;
                row.mask = specific.region.as_ref().map(Mask::from_region);
            }
        }
        draft
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(draft: &Draft) -> Vec<&str> {
        draft.rows.iter().map(|row| row.text.as_str()).collect()
    }

    #[test]
    fn a_new_proposal_replaces_the_old_one_and_spares_rows_by_hand() {
        let mut draft = Draft::default();
        draft.propose(vec!["a".into(), "b".into()]);
        draft.add("mine", false);
        draft.propose(vec!["c".into()]);
        assert_eq!(texts(&draft), ["c", "mine"]);
    }

    #[test]
    fn the_proposal_comes_back_after_anything_was_done_to_it() {
        let mut draft = Draft::default();
        draft.propose(vec!["a".into(), "b".into(), "c".into()]);
        assert!(!draft.differs_from_proposal());
        let first = draft.rows[0].id;
        draft.row_mut(first).unwrap().text = "other words".into();
        draft.row_mut(first).unwrap().mask = Some(Mask::new((8, 8)));
        draft.remove(draft.rows[1].id);
        draft.shift(first, 1);
        draft.add("mine", false);
        assert!(draft.differs_from_proposal());
        draft.restore();
        assert_eq!(texts(&draft), ["a", "b", "c", "mine"]);
        assert!(draft.rows[0].mask.is_some());
        assert!(!draft.differs_from_proposal());
    }

    #[test]
    fn regenerating_one_row_changes_what_restore_goes_back_to() {
        let mut draft = Draft::default();
        draft.propose(vec!["a".into(), "b".into()]);
        draft.reword(draft.rows[1].id, "c".into());
        assert!(!draft.differs_from_proposal());
        assert_eq!(draft.proposal, ["a", "c"]);
    }

    #[test]
    fn a_request_and_back() {
        let picture = Picture::from_rgb("p", image::RgbImage::new(40, 30));
        let mut draft = Draft { wish: "winter".into(), ..Draft::default() };
        let id = draft.add("put snow on the roofs", false);
        draft.add("an empty region bounds nothing", false);
        let mut mask = Mask::new((40, 30));
        mask.rectangle(egui::pos2(0.0, 0.0), egui::pos2(0.5, 1.0), true);
        draft.row_mut(id).unwrap().mask = Some(mask);
        draft.row_mut(id).unwrap().weight = -0.5;
        draft.rows[1].mask = Some(Mask::new((40, 30)));
        let request = draft.to_request(picture.clone());
        assert!(request.specifics[0].region.is_some() && request.specifics[1].region.is_none());
        let again = Draft::from_request(&request).to_request(picture);
        assert_eq!((again.instruction.as_str(), again.specifics[0].weight), ("winter", -0.5));
        assert_eq!(draft.without(0).active(), 1);
        assert_eq!(draft.solo(0).rows.iter().filter(|row| row.enabled).count(), 1);
    }
}
