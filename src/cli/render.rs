//! `image-factory render`
use std::path::PathBuf;
use std::process::ExitCode;

use super::{Context, Failure, err, out};
use crate::frontend;
use crate::model::definition::Definition;
use crate::model::diagnostic::Diagnostic;
use crate::report::{self, Rendered};

pub const EXAMPLES: &str = "Examples:
  image-factory render images/bundle-nginx                    print all files, with headings
  image-factory render images/bundle-nginx -q > stack.yml     print a single file, nothing else
  image-factory render images/bundle-nginx -o /tmp/out        write files, as `build` does
  image-factory render images/bundle-nginx --set vars.port=8081
  image-factory render images/bundle-nginx --image 6f1c2a7e-0b1d-4c55-9a38-2d7f0c9e1b44";

#[derive(clap::Args)]
pub struct Args {
    /// Bundle: `images/X`, `os/Y`, a bare name, or a path
    bundle: String,
    /// Image ID to render as `result_img_id`; it is not looked up
    #[arg(long, value_name = "ID", value_parser = id)]
    image: Option<String>,
    /// Write files below this directory, and create it [default: print to standard output]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

fn id(text: &str) -> Result<String, String> {
    let fine = !text.is_empty() && text.len() <= 255 && text.chars().all(|c| c.is_ascii_graphic());
    if fine {
        Ok(text.to_owned())
    } else {
        Err("an image's ID is a word of ASCII characters".into())
    }
}

pub async fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let (tree, sets, name) = (context.tree()?, context.overrides()?, args.bundle.clone());
    let loaded = context
        .reading(move || {
            let dir = frontend::find(&tree, &name).map_err(|found| vec![found])?;
            frontend::load_with(&tree, &dir, &sets)
        })
        .await?;
    let loaded = loaded.map_err(Failure::bundle)?;
    let (outcome, odd) =
        context.templates.preview(&loaded.bundle, args.image.as_deref(), &context.cancel).await?;
    let rendered = outcome
        .map_err(|found| Failure::bundle(loaded.warnings.iter().cloned().chain(found).collect()))?;
    let mut warnings: Vec<Diagnostic> = loaded.warnings.into_iter().chain(odd).collect();
    if let Some(image) = args.image.as_deref().filter(|image| uuid::Uuid::try_parse(image).is_err())
    {
        let finding = Diagnostic::warning(
            None,
            format!("`{image}` is no image's ID, which is a UUID: it is rendered as it stands"),
        );
        warnings.push(finding.hint("`image-factory image list` shows IDs"));
    }
    context.show_diagnostics(&warnings);
    if rendered.is_empty() && !context.common.quiet {
        err(&format!("{} has no templates: they are files output/*.j2", loaded.bundle.label));
    }
    match &args.output {
        Some(dir) => write(context, dir.clone(), rendered, &loaded.bundle).await?,
        None if context.common.json => {
            out(&serde_json::to_string_pretty(&rendered).expect("texts are plain data"))
        }
        None => print(&rendered),
    }
    Ok(ExitCode::SUCCESS)
}

async fn write(
    context: &Context,
    dir: PathBuf,
    rendered: Vec<Rendered>,
    bundle: &Definition,
) -> Result<(), Failure> {
    let sources = [bundle.dir.clone(), bundle.tree.join(&bundle.label)];
    let done = context
        .reading(move || report::put(&dir, &rendered, &sources.each_ref().map(PathBuf::as_path)))
        .await?;
    let files =
        done.map_err(|errors| Failure::hosts(errors.iter().map(ToString::to_string).collect()))?;
    if context.common.json {
        out(&serde_json::to_string_pretty(&files).expect("paths are plain data"));
    } else if !context.common.quiet {
        files.iter().for_each(|file| err(&format!("wrote {}", file.display())));
    }
    Ok(())
}

/// Prints one text as it is, several with headings. Escapes terminal control.
fn print(rendered: &[Rendered]) {
    if let [one] = rendered {
        return super::out_as_is(&one.text);
    }
    for (at, r) in rendered.iter().enumerate() {
        let blank = if at > 0 { "\n" } else { "" };
        out(&format!("{blank}==> {} <==", r.path.display()));
        super::out_as_is(&r.text);
        if !r.text.is_empty() && !r.text.ends_with('\n') {
            super::out_as_is("\n");
        }
    }
}
