//! Collects the findings on definitions, individually and together. For an invalid definition,
//! omits findings that may be consequences of its errors.
use std::path::Path;

use super::{Context, Failure, LoadResult, syntax};
use crate::frontend::build_vars::{self, Doubts};
use crate::model::definition::{Base, Definition};
use crate::model::diagnostic::Diagnostic;

/// Checked definitions.
pub(super) struct Looked {
    /// The valid ones, in order.
    pub bundles: Vec<Definition>,
    /// Invalid ones whose playbooks Ansible can still check.
    pub to_ask: Vec<Definition>,
    /// Labels of those it cannot check.
    pub not_to_ask: Vec<String>,
    /// By definition; those on several definitions at the end.
    pub found: Vec<Diagnostic>,
}

/// A bundle as far as it was read.
struct One {
    bundle: Definition,
    doubts: Doubts,
    is_sound: bool,
}

impl Context {
    /// All errors and warnings for the definitions in `meant`. `others` are those of the tree,
    /// possibly including them.
    pub(super) async fn look(
        &self,
        meant: Vec<LoadResult>,
        others: &[LoadResult],
    ) -> Result<Looked, Failure> {
        let (mut all, mut found, mut not_to_ask) = (Vec::new(), Vec::new(), Vec::new());
        for definition in meant {
            let (one, findings) = match definition {
                Ok(loaded) => (
                    Some(One { bundle: loaded.bundle, doubts: Doubts::default(), is_sound: true }),
                    loaded.warnings,
                ),
                Err(unsound) => {
                    let rest = unsound.rest.map(|rest| One {
                        bundle: rest.bundle,
                        doubts: rest.doubts,
                        is_sound: false,
                    });
                    let one = rest
                        .as_ref()
                        .filter(|one| one.doubts.playbooks && syntax::has_playbooks(&one.bundle));
                    not_to_ask.extend(one.map(|one| one.bundle.label.clone()));
                    (rest, unsound.findings)
                }
            };
            found.push(findings);
            all.push(one);
        }
        let read: Vec<(usize, &One)> =
            all.iter().enumerate().filter_map(|(at, one)| Some((at, one.as_ref()?))).collect();
        let asked: Vec<_> = read.iter().map(|(_, one)| (&one.bundle, &one.doubts)).collect();
        let templates = self.templates.check(&asked, &self.cancel).await?;
        for ((at, one), of_templates) in read.iter().zip(templates) {
            let found = &mut found[*at];
            let new: Vec<Diagnostic> =
                of_templates.into_iter().filter(|finding| !found.contains(finding)).collect();
            found.extend(new);
            found.extend(self.of_one(one)?);
        }
        let bundles: Vec<&Definition> = read.iter().map(|(_, one)| &one.bundle).collect();
        let known: Vec<&Definition> =
            bundles.iter().copied().chain(others.iter().filter_map(self::read)).collect();
        let makers: Vec<_> = all
            .iter()
            .map(|one| one.as_ref().and_then(|one| build_vars::maker(&known, &one.bundle)))
            .collect();
        let of_several =
            together(&bundles, &others.iter().filter_map(self::read).collect::<Vec<_>>());
        for (one, maker) in all.iter_mut().zip(makers) {
            one.iter_mut().for_each(|one| one.bundle.base_maker.clone_from(&maker));
        }
        let (sound, rest): (Vec<One>, Vec<One>) =
            all.into_iter().flatten().partition(|one| one.is_sound);
        Ok(Looked {
            bundles: sound.into_iter().map(|one| one.bundle).collect(),
            not_to_ask,
            to_ask: rest
                .into_iter()
                .filter(|one| !one.doubts.playbooks)
                .map(|one| one.bundle)
                .collect(),
            found: found.into_iter().flatten().chain(of_several).collect(),
        })
    }

    fn of_one(&self, one: &One) -> Result<Vec<Diagnostic>, Failure> {
        let One { bundle, doubts, .. } = one;
        let mut found = build_vars::on_factory(bundle, self.how_to_allow_local(bundle)?.as_deref());
        found.extend(self.not_granted(bundle)?);
        if !doubts.playbooks {
            found.extend(self.passwords(bundle)?);
        }
        if !doubts.work {
            found.extend(build_vars::check_work(bundle));
        }
        if !doubts.needs {
            found.extend(self.missing(bundle)?);
        }
        Ok(found)
    }
}

/// The bundle of a definition, as far as it was read.
pub fn read(definition: &LoadResult) -> Option<&Definition> {
    match definition {
        Ok(loaded) => Some(&loaded.bundle),
        Err(unsound) => unsound.rest.as_ref().map(|rest| &rest.bundle),
    }
}

/// Findings on several definitions together, for those in `meant` and their bases. `others` are
/// those of the tree; for definitions in `meant`, the values with `--set` apply.
fn together(meant: &[&Definition], others: &[&Definition]) -> Vec<Diagnostic> {
    let is_meant =
        |other: &&&Definition| meant.iter().any(|one| one.asks.definition == other.asks.definition);
    let all: Vec<&Definition> =
        meant.iter().chain(others.iter().filter(|other| !is_meant(other))).copied().collect();
    let chosen: Vec<&Path> =
        with_bases(&all, meant.len()).iter().map(|at| all[*at].asks.definition.as_path()).collect();
    let found = build_vars::check_bases(&all).into_iter().chain(build_vars::check_families(&all));
    // A cycle may be in definitions that were not named.
    found
        .filter(|(bundle, _)| chosen.contains(&bundle.asks.definition.as_path()))
        .map(|(_, finding)| finding)
        .collect()
}

/// Indices of the first `count` of `all`, and of the definitions that they are built on.
fn with_bases(all: &[&Definition], count: usize) -> Vec<usize> {
    let mut chosen: Vec<usize> = (0..count).collect();
    let mut next = 0;
    while let Some(bundle) = chosen.get(next).map(|at| all[*at]) {
        next += 1;
        if let Some(base) =
            build_vars::base_among(all, bundle).filter(|_| matches!(bundle.base, Some(Base::Os(_))))
            && !chosen.contains(&base)
        {
            chosen.push(base);
        }
    }
    chosen
}
