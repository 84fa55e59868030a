# Sourced by scripts/run and scripts/test: makes sure that Rust and the system's libraries are there.

# Stops with the way to Rust unless cargo is there (rustup's usual place is looked at too).
need_rust() {
  if ! command -v cargo >/dev/null 2>&1 && [ -x "$HOME/.cargo/bin/cargo" ]; then
    export PATH="$HOME/.cargo/bin:$PATH"
  fi
  if ! command -v cargo >/dev/null 2>&1; then
    echo "Rust 1.95 or newer is needed. Install it with rustup (https://rustup.rs), then run this again." >&2
    exit 1
  fi
  local version
  version=$(rustc --version | sed -E 's/^rustc ([0-9]+)\.([0-9]+).*/\1 \2/')
  read -r major minor <<<"$version"
  if [ "$major" -lt 1 ] || { [ "$major" -eq 1 ] && [ "$minor" -lt 95 ]; }; then
    echo "Rust 1.95 or newer is needed, and this is $(rustc --version). Run 'rustup update stable'." >&2
    exit 1
  fi
}

# Installs the Debian packages that are missing. Each argument is PACKAGE:PROOF, where the proof is a command, a file,
# or "lib" for a package that dpkg itself must know.
need_packages() {
  if [ "$(uname -s)" = Darwin ]; then
    if ! xcode-select -p >/dev/null 2>&1; then
      echo "Apple's command line tools are needed: run 'xcode-select --install', then this again." >&2
      exit 1
    fi
    return
  fi
  local item package proof missing=()
  for item in "$@"; do
    package=${item%%:*} proof=${item#*:}
    case $proof in
      lib) dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package") ;;
      /*) [ -e "$proof" ] || dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package") ;;
      *) command -v "$proof" >/dev/null 2>&1 || missing+=("$package") ;;
    esac
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null 2>&1; then
    if ! command -v cc >/dev/null 2>&1 && ! command -v gcc >/dev/null 2>&1; then
      echo "A C compiler and linker is needed (Fedora: dnf install gcc; Arch: pacman -S gcc)." >&2
      exit 1
    fi
    cat >&2 <<'TEXT'
This is not Debian or Ubuntu, so nothing is installed here. The window needs at run time: the Vulkan loader with a driver,
EGL, libxkbcommon, and the X11 client libraries (X11, X11-xcb, Xcursor, Xi, Xrandr) or Wayland's.
  Fedora: dnf install vulkan-loader mesa-vulkan-drivers mesa-libEGL libxkbcommon-x11 libX11-xcb libXcursor libXi libXrandr
  Arch:   pacman -S vulkan-icd-loader vulkan-swrast libglvnd libxkbcommon-x11 libx11 libxcursor libxi libxrandr
TEXT
    return 0
  fi
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
      echo "These packages are missing: ${missing[*]}. As root, run: apt-get install -y ${missing[*]}" >&2
      exit 1
    fi
    sudo=(sudo)
  fi
  echo "Installing: ${missing[*]}"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
