# Runs ctest and counts: every GoogleTest case is one test, and so is every other program that ctest runs.
# Sourced by tests/run; uses its $root, $scratch, $jobs, $again and $repeat.
passed=0
failed=0
failures=()

count_passed() { passed=$((passed + 1)); }
count_failed() {
  failed=$((failed + 1))
  failures+=("$1")
}

# The contents of every program and test script of a build folder, as one line.
fingerprint() {
  {
    find "build/$1" \( -name '*.corpus' -o -name CMakeFiles \) -prune -o -type f -perm -u+x -print
    find tests deploy client proto -type f \( -name '*.sh' -o -name '*.py' -o -name '*.js' -o -name '*.toml' \
      -o -name quickstart -o -name CTestTestfile.cmake -o -path '*/stranger/*' \)
  } | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum | cut -d ' ' -f 1
}

# run_ctest PRESET [ctest's selection...]
run_ctest() {
  local preset=$1
  shift
  local stamp stamp_name hash results=$root/build/$preset/results
  stamp_name=$(tr -c 'A-Za-z0-9' '_' <<<"$*")
  stamp=build/$preset/passed_${stamp_name%_}
  hash=$(fingerprint "$preset")
  if [[ $again -eq 0 && -f $stamp ]]; then
    local old_hash old_passed
    read -r old_hash old_passed <"$stamp"
    if [[ $old_hash == "$hash" ]]; then
      echo "   nothing has changed since these $old_passed tests passed (--again runs them)"
      passed=$((passed + old_passed))
      return
    fi
  fi

  rm -rf "$results"
  mkdir -p "$results"
  local before_passed=$passed before_failed=$failed extra=()
  [[ $repeat -gt 1 ]] && extra=(--repeat "until-fail:$repeat")
  GTEST_OUTPUT=xml:$results/ ctest --test-dir "build/$preset" -j "$jobs" --output-on-failure \
    --no-tests=error --output-junit "$results/ctest.junit" ${extra[@]+"${extra[@]}"} "$@" \
    >"$results/ctest.log" 2>&1
  local code=$?
  count_results "$results"
  if [[ $code -ne 0 && $failed -eq $before_failed ]]; then count_failed "ctest of $preset ended with $code"; fi
  if [[ $failed -gt $before_failed ]]; then
    echo "   the whole output is in ${results#"$root"/}/ctest.log"
    grep -E '\*\*\*|Failure$|^ *[0-9]+: .*(FAILED|ERROR: |SUMMARY)|^\[  FAILED' "$results/ctest.log" | head -60 | sed 's/^/   /'
    rm -f "$stamp"
  else
    echo "$hash $((passed - before_passed))" >"$stamp"
  fi
}

# Adds up what ctest and the GoogleTest programs have written.
count_results() {
  local results=$1 name status report
  while IFS=$'\t' read -r name status; do
    report=$results/$name.xml
    if [[ -s $report && $(sed -n '2p' "$report") =~ tests=\"([0-9]+)\"\ failures=\"([0-9]+)\".*errors=\"([0-9]+)\" ]]; then
      local bad=$((BASH_REMATCH[2] + BASH_REMATCH[3]))
      passed=$((passed + BASH_REMATCH[1] - bad))
      if [[ $bad -gt 0 ]]; then
        failed=$((failed + bad))
        failures+=("$name: $bad")
      elif [[ $status != run ]]; then
        count_failed "$name ($status)"
      fi
    elif [[ $status == run ]]; then
      count_passed "$name"
    else
      count_failed "$name ($status)"
    fi
  done < <(sed -n 's/.*<testcase name="\([^"]*\)".* status="\([^"]*\)".*/\1\t\2/p' "$results/ctest.junit")
}

# No process of ours lives on, and nothing is in the places where a daemon could leave something.
check_leftovers() {
  local left=() exe
  for exe in /proc/[0-9]*/exe; do
    local target
    target=$(readlink "$exe" 2>/dev/null) || continue
    [[ $target == "$root"/build/* ]] && left+=("process ${exe//[^0-9]/} ($target)")
  done
  while IFS= read -r name; do left+=("$name"); done < <(find "$scratch" -type s 2>/dev/null)
  if [[ ${#left[@]} -eq 0 ]]; then
    count_passed "nothing left behind"
  else
    printf '   left behind: %s\n' "${left[@]}"
    count_failed "something was left behind"
  fi
}
