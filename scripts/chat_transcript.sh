#!/usr/bin/env bash
# The chat that docs/chat.md shows, typed into tmux: a 20,000-token beginning of Alice's Adventures in Wonderland with four
# planted facts, and what a user would do with it. Prints what the terminal showed. Takes tmux and about half a minute.
#   scripts/chat_transcript.sh [BUILD_FOLDER]
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
build=${1:-build/release}
folder=$(mktemp -d)
name=precis-chat-$$
trap 'tmux kill-session -t "$name" 2> /dev/null || true; rm -rf -- "$folder"' EXIT

head -n 812 "$build/testdata/books/alice.txt" | awk '
  { print }
  NR == 90 { print "\nEveryone knows that the secret code of Nora Reed is 40718." }
  NR == 300 { print "\nThe room number of Theo Bishop is 313." }
  NR == 520 { print "\nRemember that the favourite colour of Zelda Cooper is scarlet." }
  NR == 800 { print "\nMabel Young'"'"'s secret code is 69591." }' > "$folder/alice.txt"
ln -s "$PWD/$build/bin/precis" "$folder/precis"
ln -s "$PWD/models" "$folder/models"

# What the terminal shows so far, and how often a text stands there.
shown() { tmux capture-pane -p -J -S - -t "$name"; }
count() { shown | grep --count --fixed-strings -- "$1" || true; }
# wait_for TEXT TIMES
wait_for() {
  local tries=0
  until [ "$(count "$1")" -ge "$2" ]; do
    sleep 0.1
    tries=$((tries + 1))
    if [ $tries -gt 1200 ]; then
      shown
      echo "$0: '$1' was not shown $2 times" >&2
      exit 1
    fi
  done
}
line() { tmux send-keys -t "$name" -l -- "$1" && tmux send-keys -t "$name" Enter; }
answers=0
ask() {
  line "$1"
  answers=$((answers + 1))
  wait_for 'first word after' $answers
}

tmux new-session -d -s "$name" -x 118 -y 60 -c "$folder" \
  "env PS1='\$ ' TERM=xterm XDG_STATE_HOME='$folder/state' PATH='$folder':\"\$PATH\" bash --norc"
line 'precis chat -m models/demo-ksa -f alice.txt --temp 0 --session alice.chat'
wait_for 'tokens/s, KV' 1
ask 'What is the secret code of Nora Reed?'
ask "What is Theo Bishop's room number?"
ask 'What is the favourite colour of Zelda Cooper?'
# Nothing ends an answer now, so there is time to stop one.
line '/set logit-bias 4=-100'
line '/set logit-bias 2=-100'
line '/set max-tokens -1'
wait_for 'max-tokens -1 (set)' 1
line 'Tell me a story'
sleep 1.5
tmux send-keys -t "$name" C-c
answers=$((answers + 1))
wait_for 'first word after' $answers
line '/set logit-bias'
line '/set max-tokens'
ask '/retry'
line '/context'
wait_for 'template' 1
line '/save'
sleep 2
tmux send-keys -t "$name" C-d
sleep 2
line 'precis chat -m models/demo-ksa -f alice.txt --temp 0 --session alice.chat'
wait_for 'Ctrl-D leaves' 2
wait_for 'loaded' 1
ask "What is Mabel Young's secret code?"
line '/quit'
sleep 2
shown | sed -e 's/[[:space:]]*$//' -e '/^$/N;/^\n$/D'
