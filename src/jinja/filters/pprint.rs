//! `pprint`: for the values that Ansible passes, equal to `repr()`.
use crate::jinja::args::Args;
use crate::jinja::error::{Error, Result};
use crate::jinja::show;
use crate::jinja::value::Value;

pub fn apply(value: &Value, args: &Args) -> Result<Value> {
    args.none("pprint")?;
    let text = show::repr(value)?;
    if value.as_text().is_some() && text.chars().count() > 78 {
        return Err(Error::refused(
            "`pprint` of a text that does not fit into one line is not supported",
        ));
    }
    Ok(Value::from(text))
}
