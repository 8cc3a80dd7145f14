//! The name of a definition's base on a cloud.
use crate::frontend;
use crate::model::category::OS;
use crate::model::definition::{Base, Definition};
use crate::model::diagnostic::Diagnostic;

/// The base as the cloud knows it: an `os/<name>` of the tree is known by its family. `Err` is what
/// is wrong with the base's definition.
pub fn base_name(bundle: &Definition) -> Result<Option<String>, Vec<Diagnostic>> {
    match &bundle.base {
        None => Ok(None),
        Some(Base::Image(name)) => Ok(Some(name.clone())),
        Some(Base::Os(_)) if bundle.base_family.is_some() => Ok(bundle.base_family.clone()),
        Some(Base::Os(name)) => {
            let loaded = frontend::load(&bundle.tree, &bundle.tree.join(OS.dir).join(name))?;
            Ok(Some(loaded.bundle.name))
        }
    }
}
