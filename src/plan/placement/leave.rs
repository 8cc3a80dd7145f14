//! What the cloud leaves this project's user to do.
use super::Project;
use crate::model::diagnostic::Diagnostic;
use crate::model::facts::Leave;
use crate::model::field::Field;
use crate::plan::Findings;

/// What the cloud was asked for leave to do, where that matters.
pub(in crate::plan) fn leave(on: Project<'_>, smoke: bool, found: &mut Findings) {
    let Project { bundle, facts } = on;
    let visibility = bundle.published_as();
    match &facts.publishing {
        Leave::Refused(words) => {
            let place = bundle.locations.of_first(&[Field::Visibility, Field::PublishingOptions]);
            let message =
                format!("Glance would not publish such an image ({}): {words}", visibility.word());
            found.wrong.push(
                Diagnostic::error(place, message)
                    .hint("an administrator can tell which role or quota is missing"),
            );
        }
        Leave::Unknown(why) => {
            found.notes.push(format!(
                "whether this user may publish {} images shows when it is done: {why}",
                visibility.word()
            ));
        }
        Leave::Unasked | Leave::Given => {}
    }
    match &facts.consoles {
        Leave::Refused(words) if smoke => {
            let message = format!(
                "this cloud shows no consoles of machines, and smoke machines tell their host keys \
                    there: {words}"
            );
            found.wrong.push(
                Diagnostic::error(None, message).hint("`build --no-smoke` publishes untested"),
            );
        }
        Leave::Unknown(why) if smoke => {
            found.notes.push(format!(
                "whether the cloud shows consoles is asked of the first machine: {why}"
            ));
        }
        _ => {}
    }
}
