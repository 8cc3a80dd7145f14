//! Parsed Ansible files, cached for all checks.
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use super::yaml::{self, Bad, Node};

/// Size limits, in bytes, of a text whose tree is cached, and of all of them: a tree takes many
/// times the memory.
const SMALL: usize = 64 << 10;
const MOST: usize = 1 << 20;

/// Trees of one definition, by text.
#[derive(Debug, Default)]
pub(super) struct Trees(RefCell<Kept>);

#[derive(Debug, Default)]
struct Kept {
    trees: HashMap<String, Rc<Node>>,
    bytes: usize,
}

impl Trees {
    /// As [`yaml::parse_leniently`].
    pub fn parse(&self, file: &Path, text: &str) -> Result<Rc<Node>, Bad> {
        if let Some(known) = self.0.borrow().trees.get(text) {
            return Ok(known.clone());
        }
        let tree = Rc::new(yaml::parse_leniently(file, text)?);
        let mut kept = self.0.borrow_mut();
        if text.len() <= SMALL && kept.bytes + text.len() <= MOST {
            kept.bytes += text.len();
            kept.trees.insert(text.to_owned(), tree.clone());
        }
        Ok(tree)
    }
}
