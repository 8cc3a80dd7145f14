//! The reference: what must be current, kept, hidden and deleted, as docs/life-of-an-image.md, the
//! row `keep` of BUNDLES.md and the help of `image` have it. It knows neither clocks nor names:
//! images stand in the order in which they were published.

/// A definition, whose images are a family.
#[derive(Debug)]
pub struct Family {
    pub name: &'static str,
    /// A family, or the image `seed`, which is nobody's.
    pub base: &'static str,
    pub keep: Option<u32>,
    /// `final_glance_options` of the bundle hide its images.
    pub unlisted: bool,
}

pub const SEED: &str = "seed";
pub static FAMILIES: [Family; 4] = [
    Family { name: "a", base: SEED, keep: Some(2), unlisted: false },
    Family { name: "b", base: "a", keep: Some(1), unlisted: false },
    Family { name: "c", base: "a", keep: None, unlisted: false },
    Family { name: "d", base: SEED, keep: Some(1), unlisted: true },
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Active,
    Deprecated,
    /// By a prune: deprecated, and deleted by the next.
    Hidden,
}

/// A published image.
#[derive(Debug, Clone)]
pub struct Image {
    pub id: String,
    pub family: &'static str,
    pub unlisted: bool,
    pub base: String,
    pub run: String,
    pub standing: Standing,
    pub protected: bool,
    /// A person brought it back, and has not let go of it.
    pub held: bool,
}

/// A run that was begun.
#[derive(Debug, Clone)]
pub struct Run {
    pub id: String,
    pub family: &'static Family,
    pub base: String,
    /// The machine on which it runs, of two that have one cloud.
    pub home: usize,
    pub lives: bool,
    /// A machine of it is there.
    pub machine: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Kept,
    /// Beyond the limit, and needed.
    Spared,
    Hidden,
    Deleted,
}

/// What is to be pruned.
#[derive(Debug, Clone, Copy)]
pub struct Prune<'a> {
    pub family: &'a str,
    pub keep: u32,
    /// `--now`
    pub at_once: bool,
    /// The run that prunes after it has published.
    pub by: Option<&'a str>,
    /// The machine on which that is done: it knows of its own runs before they have made anything.
    pub home: usize,
}

#[derive(Debug, Default)]
pub struct Reference {
    /// In the order of publication.
    pub images: Vec<Image>,
    pub runs: Vec<Run>,
}

impl Reference {
    /// Images of a family, newest first.
    pub fn of<'a>(&'a self, family: &'a str) -> impl Iterator<Item = &'a Image> {
        self.images.iter().rev().filter(move |i| i.family == family)
    }

    fn actives<'a>(&'a self, family: &'a str) -> impl Iterator<Item = &'a Image> {
        self.of(family).filter(|i| i.standing == Standing::Active && !i.unlisted)
    }

    /// "The family's name means the newest active image."
    pub fn current<'a>(&'a self, family: &'a str) -> Option<&'a Image> {
        self.actives(family).next()
    }

    /// What a build on this base stands on.
    pub fn base(&self, name: &str) -> Option<String> {
        if name == SEED { Some(SEED.into()) } else { self.current(name).map(|i| i.id.clone()) }
    }

    pub fn run(&mut self, id: &str) -> &mut Run {
        self.runs.iter_mut().find(|run| run.id == id).expect("it was begun")
    }

    pub fn publish(&mut self, run: &str, id: &str) {
        let Run { family, base, .. } = self.run(run).clone();
        self.given(family, base, (run, id));
    }

    /// `image` of `run`, published after all others.
    pub fn given(&mut self, family: &Family, base: String, (run, id): (&str, &str)) {
        self.images.push(Image {
            id: id.into(),
            family: family.name,
            unlisted: family.unlisted,
            base,
            run: run.into(),
            standing: Standing::Active,
            protected: false,
            held: false,
        });
    }

    /// "Makes the image before current again": the one that is deprecated for it.
    pub fn rolled_back(&self, family: &str) -> Option<String> {
        let mut actives = self.actives(family);
        let was = actives.next()?;
        actives.next().map(|_| was.id.clone())
    }

    pub fn stands(&mut self, id: &str, standing: Standing) {
        if let Some(image) = self.images.iter_mut().find(|i| i.id == id) {
            image.standing = standing;
        }
    }

    pub fn image(&mut self, id: &str) -> &mut Image {
        self.images.iter_mut().find(|i| i.id == id).expect("it is published")
    }

    pub fn remove(&mut self, id: &str) {
        self.images.retain(|i| i.id != id);
    }

    /// "Pruning never deletes an image from which a machine of a build was made, and on which an
    /// image was built that is current, held, or the newest of a definition that hides its images."
    fn needed(&self, image: &Image, home: usize) -> bool {
        let uses = |r: &Run| r.base == image.id && (r.machine || r.lives && r.home == home);
        let used = self.runs.iter().any(uses);
        let newest = |i: &Image| {
            let mut active = self.of(i.family).filter(|i| i.standing == Standing::Active);
            active.next().is_some_and(|newest| newest.id == i.id)
        };
        let is_used = |i: &Image| {
            let current = self.current(i.family).is_some_and(|current| current.id == i.id);
            current || i.held || i.unlisted && newest(i)
        };
        let child = |i: &Image| i.base == image.id && is_used(i);
        used || self.images.iter().any(child)
    }

    /// "Sets how many of the newest active images of a family stay. The first pass hides the images
    /// beyond the limit, the next deletes them." Newest first.
    pub fn prune(&self, asked: Prune<'_>) -> Vec<(String, Verdict)> {
        let mut kept = 0;
        let judge = |image: &Image| {
            if kept < asked.keep {
                kept += u32::from(image.standing == Standing::Active);
                return Verdict::Kept;
            }
            // A run never touches what it has published; nor anybody what a person brought back.
            if asked.by == Some(&image.run) || image.held || image.protected {
                return Verdict::Spared;
            }
            let needed = self.needed(image, asked.home);
            match (image.standing, asked.at_once) {
                (Standing::Hidden, _) if needed => Verdict::Spared,
                (Standing::Hidden, _) => Verdict::Deleted,
                (_, true) if !needed => Verdict::Deleted,
                (_, _) => Verdict::Hidden,
            }
        };
        let ids: Vec<String> = self.of(asked.family).map(|i| i.id.clone()).collect();
        ids.into_iter().zip(self.of(asked.family).map(judge).collect::<Vec<_>>()).collect()
    }
}
