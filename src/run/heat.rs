//! Rendered Heat templates, checked by the cloud's Heat.
use super::options::RunOptions;
use crate::provider::RunCx;
use crate::report;

/// Has every rendered Heat template checked, where the cloud has a Heat.
pub(super) async fn heat_accepts(
    setup: &RunOptions<'_>,
    cx: &RunCx,
    rendered: &[report::Rendered],
) -> Result<(), String> {
    let Some(validator) = setup.cloud.templates().filter(|_| setup.check_templates) else {
        return Ok(());
    };
    let mut wrong = Vec::new();
    for template in rendered.iter().filter(|t| t.text.contains("heat_template_version")) {
        let shown = template.path.display();
        match validator.validate(&template.text, cx).await {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(()))) => cx.events.note(format!("{shown}: Heat finds it valid")),
            Ok(Some(Err(reason))) => wrong.push(format!("{shown}: Heat refuses it: {reason}")),
            // The template may be well; that nobody looked is worth a line, not a failed build.
            Err(e) => cx.events.warn(format!("{shown}: not checked by Heat: {e}")),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}
