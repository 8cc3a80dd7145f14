//! Records of earlier runs, read from their directories. A tree may bring any: all text in them is
//! untrusted.
use std::path::Path;

use super::record::Record;
use super::write::Unplanned;
use crate::engine::run_dir;
use crate::model::event::Event;

impl Record {
    /// Stages, steps and checks of a run, and its end if it has ended. Without outputs and notes,
    /// and without steps that were not begun. `None` without readable events.
    pub fn read(dir: &Path) -> Option<Self> {
        let events = run_dir::read_course(dir).ok()?;
        let started = events.iter().find_map(|stamped| match &stamped.event {
            Event::Started { run, bundle, cloud, .. } => Some((run, bundle, cloud)),
            _ => None,
        });
        let (run, bundle, cloud) = started?;
        let plan = run_dir::read_plan(dir);
        Some(Self::unplanned(&Unplanned {
            run,
            bundle,
            family: plan.as_ref().map_or("", |plan| &plan.family),
            cloud,
            events: &events,
            definition: None,
            image: None,
            rendered: &[],
            exit_code: 0,
        }))
    }
}
