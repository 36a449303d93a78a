# Sourced by demo.sh, test.sh and .ci/run, from the root of the repository.

# step TEXT: says what comes next, and how long the step before it took.
step_name=
step() {
  step_end
  step_name=$1
  step_start=$SECONDS
  printf '\n== %s\n' "$step_name"
}

step_end() {
  [ -z "$step_name" ] || printf '== %s: %d s\n' "$step_name" $((SECONDS - step_start))
  step_name=
}

# configure PRESET [option...]
configure() {
  cmake --preset "$@" --log-level=WARNING > /dev/null
}

# Under sudo the build folder is handed to the owner of the repository, who will want to build without sudo next time.
hand_back_build() {
  if [ "$(id -u)" -eq 0 ] && [ -n "${SUDO_USER:-}" ] && [ -d build ]; then
    chown --recursive --reference=. build
  fi
}
trap hand_back_build EXIT
