#!/usr/bin/env bash
# Gate a checkpoint against a blessed baseline, in any CI: one run of pytest, one decision.
#
#   gate.sh CHECKPOINT [PYTEST ARGUMENTS]     such as: gate.sh checkpoints/model.safetensors tests
#
# Environment variables and their defaults:
#   GATE_BASELINE   gentest_baseline.json   the file that `gentest bless` wrote
#   GATE_TOLERANCE  0.05                    how far a rate may fall below the baseline's
#   GATE_DRIFT      warn                    warn, fail or off: what to do when outputs drift
#   GATE_UNDECIDED  fail                    fail or warn: what to do when the gate is undecided
#   GATE_PROMPTS    (none)                  the text embeddings of CLIP prompts, if tests use CLIP
#   GATE_FOLDER     gentest-gate            the folder for gentest.json, summary.md, comment.md, images and standing.env
#   GATE_IMAGES_URL (none)                  the address at which a reader of the comment finds the folder's images
#   GATE_REPORT_URL (none)                  the address of the job, for the comment
#   PYTHON          python                  the Python that has the model and pytest-gentest
#
# Exit status: 0 held, 1 regressed, 3 undecided, 2 nothing was decided (misuse, or the run broke).
set -euo pipefail

readonly HELD=0 REGRESSED=1 MISUSE=2 UNDECIDED=3

if [[ $# -lt 1 || -z ${1-} || ${1-} == -* ]]; then
  echo 'usage: gate.sh CHECKPOINT [PYTEST ARGUMENTS]' >&2
  exit "$MISUSE"
fi
checkpoint=$1
shift

python=${PYTHON:-python}
undecided=${GATE_UNDECIDED:-fail}
folder=${GATE_FOLDER:-gentest-gate}
results=$folder/gentest.json
summary=$folder/summary.md

mkdir -p -- "$folder" || exit "$MISUSE"
# remove the results of an earlier run
rm -f -- "$results" "$summary" "$folder/comment.md" "$folder/standing.env" || exit "$MISUSE"

# Write the result of this run and exit. $1: standing, $2: exit status, $3: a line for the page, or nothing.
conclude() {
  if [[ -n $3 ]]; then
    printf '\n**%s**\n' "$3" >>"$summary"
    echo "gate.sh: $3" >&2
  fi
  echo "standing=$1" >"$folder/standing.env"
  exit "$2"
}

arguments=(
  --gentest
  "--gentest-checkpoint=$checkpoint"
  "--gentest-baseline=${GATE_BASELINE:-gentest_baseline.json}"
  "--gentest-tolerance=${GATE_TOLERANCE:-0.05}"
  "--gentest-drift=${GATE_DRIFT:-warn}"
  "--gentest-undecided=$undecided"
  "--gentest-json=$results"
  "--gentest-images=$folder/images"
)
if [[ -n ${GATE_PROMPTS:-} ]]; then
  arguments+=("--gentest-prompts=$GATE_PROMPTS")
fi

run=0
# without pytest's job summary: the action adds the page of `gentest show`
GITHUB_STEP_SUMMARY='' "$python" -m pytest "${arguments[@]}" "$@" || run=$?

if [[ ! -s $results ]]; then
  conclude '' "$MISUSE" "nothing was decided: pytest ended with exit status $run and wrote no results"
fi
# the exit status of `show` is the decision; `|| decided` keeps set -e from stopping here
decided=0
"$python" -m gentest show --markdown "$results" >"$summary" || decided=$?

# the comment for a pull request decides nothing
"$python" -m gentest comment "$results" "--images=$folder/images" "--images-url=${GATE_IMAGES_URL:-}" \
  "--report-url=${GATE_REPORT_URL:-}" >"$folder/comment.md" || rm -f -- "$folder/comment.md"

# pytest's statuses: 0 and 1 are verdicts; from 2 to 5, the run broke, was misused, or had no tests
if [[ $run -gt 1 ]]; then
  conclude '' "$MISUSE" "nothing was decided: pytest ended with exit status $run"
fi

case $decided in
  "$HELD")
    # `show` does not see tests other than gentest's
    if [[ $run -ne 0 ]]; then
      conclude regressed "$REGRESSED" 'every property held, but another test failed'
    fi
    conclude held "$HELD" ''
    ;;
  "$REGRESSED") conclude regressed "$REGRESSED" '' ;;
  "$UNDECIDED")
    if [[ $undecided != warn ]]; then
      conclude undecided "$UNDECIDED" ''
    fi
    if [[ $run -ne 0 ]]; then
      conclude regressed "$REGRESSED" 'no property regressed, but another test failed'
    fi
    conclude undecided "$HELD" 'undecided; GATE_UNDECIDED=warn lets it pass'
    ;;
  *) conclude '' "$MISUSE" "nothing was decided: \`gentest show\` ended with exit status $decided" ;;
esac
