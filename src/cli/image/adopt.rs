//! `image-factory image adopt`
use super::{json, label, need, value};
use crate::cli::{Context, Failure, out};
use crate::model::image::{self, Image, Provenance};
use crate::provider::Provider;
use crate::text::shell;

#[derive(clap::Args)]
pub struct Args {
    /// IDs or exact names of images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Show the images, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(context: &Context, cloud: &dyn Provider, args: &Args) -> Result<(), Failure> {
    let images = cloud.artifacts().list().await?;
    let mut chosen = Vec::new();
    // Validates all images before the first write.
    for wanted in &args.images {
        let image = need(context, cloud, &images, wanted).await?;
        if image.id != *wanted && image.name != *wanted {
            return Err(Failure::usage(format!(
                "`{wanted}` is a family: which of its images is to be adopted?"
            ))
            .hint(format!(
                "name it by its ID: `image-factory image list {}`",
                shell::word(wanted)
            )));
        }
        if let Provenance::Foreign(why) = image.provenance() {
            return Err(Failure::cloud(format!("{} is not adopted: {why}", label(&image))));
        }
        chosen.push(image);
    }
    let mut adopted = Vec::new();
    for image in &chosen {
        let had = image.is_ours();
        let now = match args.dry_run || had {
            true => image.clone(),
            false => cloud.artifacts().adopt(&super::lifecycle::writing(context), image).await?,
        };
        if !context.common.json {
            out(&text(image, had, args.dry_run));
        }
        adopted.push(now);
    }
    if context.common.json {
        out(&json(&adopted.iter().map(value).collect::<Vec<_>>()));
    }
    Ok(())
}

fn text(image: &Image, had: bool, dry_run: bool) -> String {
    let done = match (had, dry_run) {
        (true, _) => "has its proof already",
        (false, true) => "would be adopted",
        (false, false) => "is adopted",
    };
    let mut lines = vec![format!("{} {done}", label(image))];
    let mut line = |key: &str, value: &str| lines.push(format!("  {key:<11} {value}"));
    line("family", &image.family);
    line("created", &format!("{:.0}", image.created));
    for (word, key) in [
        ("run", image::RUN),
        ("definition", image::DEFINITION),
        ("base", image::BASE),
        ("tests", image::TESTS),
    ] {
        line(word, image.properties.get(key).map_or("not known", String::as_str));
    }
    lines.join("\n")
}
