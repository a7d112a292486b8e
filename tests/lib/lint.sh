# clang-format and clang-tidy. Sourced by tests/run.
sources() { git ls-files --cached --others --exclude-standard -- '*.cc' '*.h' | xargs -r ls -d 2>/dev/null; }

stage_format() {
  if sources | xargs -r clang-format-14 --dry-run -Werror >build/format.log 2>&1; then
    count_passed "clang-format"
  else
    grep 'error:' build/format.log | cut -d : -f 1 | sort | uniq -c | sed 's/^/   /'
    count_failed "clang-format (cure: clang-format-14 -i FILE)"
  fi
}

# What clang-tidy's verdict on each source file depends on, one list per file in build/tidy: its contents and those of
# every file of ours that it includes (from ninja's log of the release build), its command line, and the checks.
write_tidy_inputs() {
  local commands=build/clang/compile_commands.json
  rm -f build/tidy/*.inputs
  { sources; echo .clang-tidy; } | xargs sha256sum >build/tidy/hashes
  ninja -C build/release -t deps >build/tidy/deps 2>/dev/null || true
  awk -v root="$PWD/" '
    FILENAME ~ /hashes$/ { hash[$2] = $1; next }
    FILENAME ~ /compile_commands.json$/ {
      if (!match($0, / -o [^ ]+ -c [^ ]+",$/)) next
      split(substr($0, RSTART, RLENGTH - 2), word, " ")
      source = word[4]
      if (index(source, root) == 1) source = substr(source, length(root) + 1)
      if (!(source in hash)) next
      list = source
      gsub("/", "_", list)
      list = "build/tidy/" list ".inputs"
      of_object[word[2]] = list
      print source
      print $0 "\n" hash[".clang-tidy"] "\n" hash[source] > list
      next
    }
    /^[^ ]/ { object = $1; sub(/:$/, "", object); next }
    object in of_object {
      header = $1
      sub(/^\.\.\/\.\.\//, "", header)
      if (index(header, root) == 1) header = substr(header, length(root) + 1)
      if (header in hash) print hash[header] > of_object[object]
    }
  ' build/tidy/hashes "$commands" build/tidy/deps | sort -u
}

tidy_one() {
  local stamp=build/tidy/${1//\//_}
  if cmp -s "$stamp.inputs" "$stamp.clean"; then
    echo "same $1"
  elif clang-tidy-14 -p build/clang --quiet "$1" >"$stamp.log" 2>/dev/null; then
    mv "$stamp.inputs" "$stamp.clean"
    echo "clean $1"
  else
    grep -E 'error:|warning:' "$stamp.log" | sed 's/^/   /'
    echo "dirty $1"
  fi
}
export -f tidy_one

# Clang's own warnings, those of -Wthread-safety among them, are findings of clang-tidy as well.
stage_tidy() {
  configure_and_build clang prefork_protos || return
  mkdir -p build/tidy
  write_tidy_inputs | xargs -P "$jobs" -I{} bash -c 'tidy_one {}' >build/tidy/result
  grep -vE '^(same|clean|dirty) ' build/tidy/result | sort -u
  local clean same
  clean=$(grep -c '^clean ' build/tidy/result)
  same=$(grep -c '^same ' build/tidy/result)
  echo "   $clean checked and clean, $same unchanged since they were"
  passed=$((passed + clean + same))
  local file
  while read -r _ file; do count_failed "clang-tidy $file"; done < <(grep '^dirty ' build/tidy/result)
}
