//! A private apt: another suite, on the machine's own mirror, with lists and state of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};

use crate::process::{find_program, output, succeeds};

/// Where Debian's packages are when the machine's apt names no place.
const FALLBACK: &str = "http://deb.debian.org/debian/";

/// The same for the fixes of released suites.
const SECURITY_FALLBACK: &str = "http://deb.debian.org/debian-security/";

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What apt would do on an empty machine whose only source is one suite.
pub struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// Prepares it in `folder` and fetches the suite's package lists.
    ///
    /// # Errors
    /// There is no apt or no key here, or no mirror answers.
    pub fn new(folder: &Path, suite: &str) -> Result<Self> {
        let apt = Self::prepare(folder)?;
        let mirrors = mirrors("Debian", FALLBACK);
        for mirror in &mirrors {
            if apt.update(&[format!("deb [signed-by={KEYRING}] {mirror} {suite} main")])? {
                return Ok(apt);
            }
        }
        bail!("no package lists of {suite} from {}; is there a network?", mirrors.join(" or "))
    }

    /// The same for sources, those of the suite's security fixes included where there are any.
    ///
    /// # Errors
    /// As for packages.
    pub fn of_sources(folder: &Path, suite: &str) -> Result<Self> {
        let apt = Self::prepare(folder)?;
        let fixes: Vec<String> =
            if suite == "sid" { Vec::new() } else { mirrors("Debian-Security", SECURITY_FALLBACK) };
        let mirrors = mirrors("Debian", FALLBACK);
        let attempts = mirrors.len().max(fixes.len());
        for attempt in 0..attempts {
            // Where one archive has fewer mirrors than the other, its last one stands for the rest.
            let of = |mirrors: &[String]| mirrors.get(attempt).or(mirrors.last()).cloned();
            let line =
                |mirror, suite| format!("deb-src [signed-by={KEYRING}] {mirror} {suite} main");
            let suites = of(&mirrors).map(|mirror| line(mirror, suite.to_owned()));
            let fixes = of(&fixes).map(|mirror| line(mirror, format!("{suite}-security")));
            let lines: Vec<String> = suites.into_iter().chain(fixes).collect();
            if apt.update(&lines)? {
                return Ok(apt);
            }
        }
        bail!("no source lists of {suite} from {}; is there a network?", mirrors.join(" or "))
    }

    /// Downloads the source package, in the newest of Debian's versions of `upstream`, and unpacks it
    /// with Debian's changes to the folder `into`.
    ///
    /// # Errors
    /// The suite does not have that version.
    pub fn source(&self, package: &str, upstream: &str, into: &Path) -> Result<()> {
        let mut command = Command::new("apt-cache");
        command.arg("showsrc").arg(package).env("APT_CONFIG", self.folder.join("apt.conf"));
        let versions = versions(&output(&mut command)?);
        let mut outcome = Err(anyhow!("Debian has {package} {}", versions.join(", ")));
        let folder = self.folder.join("source");
        // A mirror may list what it does not have yet; an older one of Debian's is as good.
        for version in newest_first(&versions, upstream) {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder)?;
            let mut command = self.get();
            command.args(["source", "--download-only", &format!("{package}={version}")]);
            outcome = output(command.current_dir(&folder));
            if outcome.is_ok() {
                break;
            }
        }
        outcome.with_context(|| format!("cannot download the source of {package} {upstream}"))?;
        let files = fs::read_dir(&folder)?.flatten().map(|entry| entry.path());
        let description = files.filter(|path| path.extension().is_some_and(|it| it == "dsc"));
        let description = description.last().context("the source package has no description")?;
        let mut command = Command::new("dpkg-source");
        // apt has checked the files against the suite's signature.
        command.args(["--no-check", "--extract"]).arg(description).arg(into);
        output(&mut command).context("cannot unpack the source package")?;
        Ok(())
    }

    fn prepare(folder: &Path) -> Result<Self> {
        for program in ["apt-get", "dpkg-deb"] {
            if find_program(program).is_none() {
                bail!("there is no {program} on this machine");
            }
        }
        if !Path::new(KEYRING).is_file() {
            bail!("there is no {KEYRING} (package debian-archive-keyring)");
        }
        let apt = Self { folder: folder.to_owned() };
        for name in ["lists/partial", "cache/archives/partial", "parts"] {
            fs::create_dir_all(folder.join(name))?;
        }
        fs::write(folder.join("status"), "")?;
        fs::write(folder.join("apt.conf"), apt.settings())?;
        Ok(apt)
    }

    /// Whether the lists of these sources can be had.
    fn update(&self, sources: &[String]) -> Result<bool> {
        fs::write(self.folder.join("sources.list"), sources.join("\n") + "\n")?;
        // Without the option a mirror that does not answer is a warning.
        Ok(succeeds(self.get().args(["--error-on=any", "update"])))
    }

    /// Everything that installing the packages would bring, themselves included.
    ///
    /// # Errors
    /// The suite does not have them.
    pub fn closure(&self, packages: &[String]) -> Result<Vec<String>> {
        let mut command = self.get();
        command.args(["--simulate", "--no-install-recommends", "install"]).args(packages);
        let plan = output(&mut command).context("the suite does not have it")?;
        Ok(planned(&plan))
    }

    /// Downloads the packages and tells where they are.
    ///
    /// # Errors
    /// One of them cannot be had.
    pub fn download(&self, packages: &[String]) -> Result<Vec<PathBuf>> {
        let folder = self.folder.join("packages");
        fs::create_dir_all(&folder)?;
        let mut command = self.get();
        command.arg("download").args(packages).current_dir(&folder);
        output(&mut command).context("cannot download the packages")?;
        Ok(fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect())
    }

    fn get(&self) -> Command {
        let mut command = Command::new("apt-get");
        command.arg("-qq").env("APT_CONFIG", self.folder.join("apt.conf")).stdin(Stdio::null());
        command
    }

    /// How the machine reaches its mirrors is kept; its sources, pins and hooks are not.
    fn settings(&self) -> String {
        let acquire = ["dump", "--format", "%F \"%v\";%n", "Acquire"];
        let mut text = output(Command::new("apt-config").args(acquire)).unwrap_or_default();
        let folder = self.folder.display();
        for (name, value) in [
            ("Dir::Etc::main", "none"),
            ("Dir::Etc::parts", "parts"),
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::Etc::sourceparts", "parts"),
            ("Dir::Etc::preferences", "none"),
            ("Dir::Etc::preferencesparts", "parts"),
            ("Dir::State", "."),
            ("Dir::State::lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
        ] {
            text.push_str(&format!("{name} \"{folder}/{value}\";\n"));
        }
        text.push_str(
            "Acquire::Languages \"none\";\n\
             Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
             Acquire::http::Timeout \"30\";\n\
             Acquire::https::Timeout \"30\";\n\
             Acquire::Retries \"1\";\n\
             APT::Sandbox::User \"root\";\n",
        );
        text
    }
}

/// The machine's own mirror of one of Debian's archives, where it has one, and the usual one.
fn mirrors(label: &str, usual: &str) -> Vec<String> {
    let format = ["indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages"];
    let targets = output(Command::new("apt-get").args(format)).unwrap_or_default();
    let mut mirrors: Vec<String> =
        own_mirror(&targets, label).map(str::to_owned).into_iter().collect();
    if !mirrors.iter().any(|mirror| mirror == usual) {
        mirrors.push(usual.to_owned());
    }
    mirrors
}

/// The first source that is labelled as that archive of Debian. Before its lists were ever fetched
/// a source has no label; the usual name of the folder tells then.
fn own_mirror<'a>(targets: &'a str, label: &str) -> Option<&'a str> {
    let folder = format!("/{}", label.to_ascii_lowercase());
    let mut sources = targets.lines().map(|line| line.split_once(' ').unwrap_or((line, "")));
    let found = sources.find(|(uri, of)| {
        *of == label || (of.is_empty() && uri.trim_end_matches('/').ends_with(&folder))
    });
    found.map(|(uri, _)| uri).filter(|uri| !uri.starts_with("cdrom:"))
}

/// The names in the plan of a simulated installation.
fn planned(plan: &str) -> Vec<String> {
    let lines = plan.lines().filter_map(|line| line.strip_prefix("Inst "));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// The versions of a source package in the order in which apt shows them.
fn versions(description: &str) -> Vec<String> {
    let found = description.lines().filter_map(|line| line.strip_prefix("Version: "));
    found.map(|version| version.trim().to_owned()).collect()
}

/// The versions whose own part is `upstream`, the newest first.
fn newest_first<'a>(versions: &'a [String], upstream: &str) -> Vec<&'a str> {
    let matching = versions.iter().filter(|version| own_part(version) == upstream);
    let mut matching: Vec<&str> = matching.map(String::as_str).collect();
    let is_newer =
        |a: &str, b: &str| succeeds(Command::new("dpkg").args(["--compare-versions", a, "gt", b]));
    matching.sort_by(|a, b| is_newer(b, a).cmp(&is_newer(a, b)));
    matching
}

/// The part of a version that is the project's: `5:7.0.15-1~deb12u1` is 7.0.15, and so is
/// `7.0.15+dfsg1-1`, from which Debian left files out.
fn own_part(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let version = version.rsplit_once('-').map_or(version, |(own, _)| own);
    version.split_once('+').map_or(version, |(own, _)| own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_found_by_the_version_of_the_project() {
        let text = "Package: redis\nVersion: 5:7.0.15-1~deb12u7\n\nVersion: 5:7.0.15-1~deb12u10\n\
            \nVersion: 5:7.0.1-1\nVersion: 8.1.1+dfsg1-3+deb13u2\n";
        let versions = versions(text);
        assert_eq!(versions.len(), 4);
        let found = newest_first(&versions, "7.0.15");
        assert_eq!(found, ["5:7.0.15-1~deb12u10", "5:7.0.15-1~deb12u7"]);
        assert_eq!(newest_first(&versions, "8.1.1"), ["8.1.1+dfsg1-3+deb13u2"]);
        assert!(newest_first(&versions, "7.0").is_empty());
    }

    #[test]
    fn the_mirror_is_the_one_labelled_debian() {
        let targets = "http://other.example/ Other\n\
            http://mirror.example/debian/ Debian\n\
            http://mirror.example/debian-security/ Debian-Security\n";
        assert_eq!(own_mirror(targets, "Debian"), Some("http://mirror.example/debian/"));
        assert_eq!(
            own_mirror(targets, "Debian-Security"),
            Some("http://mirror.example/debian-security/")
        );
        assert_eq!(
            own_mirror("http://fresh.example/debian/ \n", "Debian"),
            Some("http://fresh.example/debian/")
        );
        assert_eq!(own_mirror("http://fresh.example/ubuntu/ \n", "Debian"), None);
        assert_eq!(own_mirror("", "Debian"), None);
    }

    #[test]
    fn a_plan_gives_the_names_of_packages() {
        let plan = "Inst libc6 (2.41-12 Debian:13/stable [amd64]) []\n\
            Inst redis-server (5:8.0.2-3 Debian:13/stable [amd64])\nConf libc6 (2.41-12)\n";
        assert_eq!(planned(plan), ["libc6", "redis-server"]);
    }
}
