//! Categories of a factory tree: the directories that definitions lie in.
use crate::model::kind::Kind;

#[derive(Debug, PartialEq, Eq)]
pub struct Category {
    /// The directory in the tree, and the first part of a label (`os/debian-12`).
    pub dir: &'static str,
    pub kind: Kind,
    /// Checks that take minutes run by default, too.
    pub long_checks: bool,
}

pub const IMAGES: Category = Category { dir: "images", kind: Kind::Image, long_checks: false };
/// Its definitions are named as bases by their labels.
pub const OS: Category = Category { dir: "os", kind: Kind::Os, long_checks: true };

/// All, in the order of listings.
pub const CATEGORIES: [&Category; 2] = [&IMAGES, &OS];

impl Category {
    pub fn of_dir(dir: &str) -> Option<&'static Self> {
        CATEGORIES.into_iter().find(|category| category.dir == dir)
    }

    /// The label of a definition of this category.
    pub fn label(&self, name: &str) -> String {
        format!("{}/{name}", self.dir)
    }

    /// The name in a label of this category.
    pub fn name<'l>(&self, label: &'l str) -> Option<&'l str> {
        label.strip_prefix(self.dir)?.strip_prefix('/')
    }
}

impl Kind {
    pub fn category(self) -> &'static Category {
        match self {
            Self::Image => &IMAGES,
            Self::Os => &OS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_a_category_and_a_name() {
        for category in CATEGORIES {
            assert_eq!(category.kind.category(), category);
            assert_eq!(category.name(&category.label("x")), Some("x"));
        }
        assert_eq!(OS.name("os-x"), None);
    }
}
