//! `comment`: formats a text as a comment.
use std::rc::Rc;

use crate::jinja::args::Args;
use crate::jinja::error::{Error, Result};
use crate::jinja::value::Value;

const STYLES: [(&str, &str, &str, &str); 5] = [
    ("plain", "", "# ", ""),
    ("erlang", "", "% ", ""),
    ("c", "", "// ", ""),
    ("cblock", "/*", " * ", " */"),
    ("xml", "<!--", " - ", "-->"),
];

pub fn apply(value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind(
        "comment",
        &[
            "style",
            "newline",
            "beginning",
            "prefix",
            "prefix_count",
            "decoration",
            "postfix",
            "postfix_count",
            "end",
        ],
    )?;
    if args.positional.len() > 1 {
        return Err(Error::raised("comment() takes from 1 to 2 positional arguments"));
    }
    let text = value.as_text().ok_or_else(|| Error::raised("`comment` wants a text"))?;
    let style = b.text_or("style", "plain")?;
    let (_, beginning, decoration, end) = STYLES
        .iter()
        .find(|(name, ..)| **name == *style)
        .ok_or_else(|| Error::raised(format!("Invalid style '{style}'.")))?;
    let decoration = b.text_or("decoration", decoration)?;
    let newline = b.text_or("newline", "\n")?;
    let trimmed = decoration.trim_end();
    let (prefix, postfix) = (b.text_or("prefix", trimmed)?, b.text_or("postfix", trimmed)?);
    let count = |name: &str| b.size(name, 1);
    let mut out = String::new();
    let beginning: Rc<str> = b.text_or("beginning", beginning)?;
    if !beginning.is_empty() {
        out += &format!("{beginning}{newline}");
    }
    if !prefix.is_empty() {
        let one =
            if prefix == newline { newline.to_string() } else { format!("{prefix}{newline}") };
        out += &one.repeat(count("prefix_count")?);
    }
    let body =
        format!("{decoration}{}", text.replace(&*newline, &format!("{newline}{decoration}")));
    out += &body.replace(&format!("{decoration}{newline}"), &format!("{trimmed}{newline}"));
    out += &format!("{newline}{postfix}").repeat(count("postfix_count")?);
    let end = b.text_or("end", end)?;
    if !end.is_empty() {
        out += &format!("{newline}{end}");
    }
    Ok(Value::from(out))
}
