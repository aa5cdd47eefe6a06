#!/usr/bin/env bash
# Trains on one machine, on several machines, or under SLURM. Builds and runs the command of tools/train_net.py.
set -euo pipefail

usage() {
    cat <<'HELP'
usage: scripts/train.sh [OPTION…] CONFIG [KEY VALUE…]
       scripts/train.sh [OPTION…] --system NAME [KEY VALUE…]

  One machine       scripts/train.sh --gpus 4 configs/errseg_convnext_base.yaml
  Two machines      scripts/train.sh --gpus 4 --nodes 2 --node-rank 0 --master HOST:29500 CONFIG   on the first, HOST
                    scripts/train.sh --gpus 4 --nodes 2 --node-rank 1 --master HOST:29500 CONFIG   on the second
  SLURM             sbatch --nodes 2 --ntasks-per-node 1 --gpus-per-node 4 --wrap 'srun scripts/train.sh CONFIG'
                    machines, rank, address and GPUs come from SLURM; a requeued job resumes

  CONFIG              such as configs/errseg_convnext_base.yaml
  KEY VALUE           configuration keys, such as SOLVER.ACCUMULATION_STEPS 4
  --gpus N            processes on each machine, each on a GPU (default: all GPUs; without GPUs, one process)
  --nodes N           machines (default: 1, or SLURM's)
  --node-rank R       the number of this machine, from 0
  --master HOST:PORT  the first machine and a free port of it, for communication
  --launcher NAME     detectron2 (default) or torchrun
  --dataset FILE.yaml train on your data set; see README.md
  --system NAME       all training stages of a system, configs/NAME/stage*.yaml, one after another, such as deop;
                      finished stages are skipped, and an interrupted stage resumes
  --resume            continue from the last checkpoint of OUTPUT_DIR
  --dry-run           print the command without running it
  --help

  ERRSEG_PYTHON       the interpreter (default: that of the environment of scripts/setup.sh)
HELP
}
fail() {
    echo "train.sh: $*" >&2
    exit 2
}
number() { # OPTION VALUE LEAST
    if ! [[ $2 =~ ^(0|[1-9][0-9]*)$ ]] || (($2 < $3)); then
        fail "$1 is '$2'; give a whole number of at least $3."
    fi
}

all_stages() { # NAME ARGUMENT...: calls this script for each stage of a system, with the same arguments
    local name=$1 folder stage own=() keys=()
    shift
    folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/configs/$name
    compgen -G "$folder/stage*.yaml" >/dev/null || fail "--system is '$name', but there are no configs/$name/stage*.yaml."
    while (($#)); do
        case $1 in
            --system) shift ;;
            --resume) ;;
            --gpus | --nodes | --node-rank | --master | --launcher | --dataset) own+=("$1" "$2") && shift ;;
            -*) own+=("$1") ;;
            OUTPUT_DIR) fail "OUTPUT_DIR would be the same folder for all stages of $name; leave it out." ;;
            *) keys+=("$1") ;;
        esac
        shift
    done
    for stage in "$folder"/stage*.yaml; do
        echo "== $(basename "$stage" .yaml)"
        "${BASH_SOURCE[0]}" "${own[@]+"${own[@]}"}" --resume "$stage" "${keys[@]+"${keys[@]}"}"
    done
}

given=("$@") system=''
gpus='' nodes='' rank='' master='' launcher=detectron2 resume=false dry_run=false options=() positional=()
while (($#)); do
    case $1 in
        --gpus | --nodes | --node-rank | --master | --launcher | --dataset | --system)
            (($# > 1)) || fail "$1 needs a value; see --help."
            case $1 in
                --gpus) number "$1" "$2" 0; gpus=$2 ;;
                --nodes) number "$1" "$2" 1; nodes=$2 ;;
                --node-rank) number "$1" "$2" 0; rank=$2 ;;
                --master) master=$2 ;;
                --launcher) launcher=$2 ;;
                --dataset) options+=(--dataset "$2") ;;
                --system) system=$2 ;;
            esac
            shift
            ;;
        --resume) resume=true ;;
        --dry-run) dry_run=true ;;
        --help | -h) usage && exit ;;
        --*) fail "there is no option $1; --help lists the options." ;;
        *) positional+=("$1") ;;
    esac
    shift
done
if [[ -n $system ]]; then
    all_stages "$system" "${given[@]}"
    exit
fi
set -- "${positional[@]+"${positional[@]}"}"
(($# >= 1)) || fail "CONFIG is needed; see --help."
config=$1
shift
[[ $launcher == detectron2 || $launcher == torchrun ]] || fail "--launcher is '$launcher'; give detectron2 or torchrun."

# Values that no option gives are taken from SLURM.
if [[ -n ${SLURM_JOB_ID:-} && -z $nodes ]]; then
    nodes=${SLURM_STEP_NUM_NODES:-1}
    if [[ -z ${SLURM_STEP_NUM_NODES:-} ]] && ((${SLURM_JOB_NUM_NODES:-1} > 1)); then
        fail "the SLURM job has $SLURM_JOB_NUM_NODES machines, but this process is in no job step; start it with srun."
    fi
    [[ ${SLURM_STEP_TASKS_PER_NODE:-1} =~ ^1(\(x[0-9]+\))?$ ]] ||
        fail "SLURM starts ${SLURM_STEP_TASKS_PER_NODE} tasks a machine; give --ntasks-per-node 1: each task starts a process for each GPU."
    if ((nodes > 1)); then
        rank=${rank:-${SLURM_NODEID:?}}
        if [[ -z $master ]]; then
            hosts=$(scontrol show hostnames "${SLURM_STEP_NODELIST:?}") ||
                fail "scontrol cannot list the machines $SLURM_STEP_NODELIST; give --master HOST:PORT."
            master=${hosts%%$'\n'*}:$((20000 + (SLURM_JOB_ID + ${SLURM_STEP_ID:-0}) % 20000))
        fi
    fi
fi
if [[ -n ${SLURM_JOB_ID:-} ]]; then
    gpus=${gpus:-${SLURM_GPUS_ON_NODE:-}}
    ((${SLURM_RESTART_COUNT:-0} == 0)) || resume=true
fi
nodes=${nodes:-1}
if [[ -z $gpus ]]; then
    if [[ -n ${CUDA_VISIBLE_DEVICES+set} ]]; then
        IFS=, read -ra visible <<<"$CUDA_VISIBLE_DEVICES"
        gpus=${#visible[@]}
        [[ $CUDA_VISIBLE_DEVICES != -1 && $CUDA_VISIBLE_DEVICES != NoDevFiles ]] || gpus=0 # values that hide all GPUs
    else
        gpus=$(nvidia-smi --list-gpus 2>/dev/null | grep -c '^GPU') || gpus=0
    fi
fi
if ((nodes > 1)); then
    [[ -n $rank && -n $master ]] || fail "$nodes machines need --node-rank and --master HOST:PORT on each of them."
    ((rank < nodes)) || fail "--node-rank is $rank, but there are $nodes machines, counted from 0."
    [[ $master =~ ^(.+):([0-9]+)$ ]] || fail "--master is '$master'; give HOST:PORT, such as node1:29500."
    host=${BASH_REMATCH[1]} port=${BASH_REMATCH[2]}
fi

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
tool=("$root/tools/train_net.py" --config-file "$config" "${options[@]+"${options[@]}"}")
if [[ $launcher == torchrun ]]; then
    command=("$python" -m torch.distributed.run --nproc-per-node "$((gpus ? gpus : 1))")
    if ((nodes > 1)); then
        command+=(--nnodes "$nodes" --node-rank "$rank" --master-addr "$host" --master-port "$port")
    else
        command+=(--standalone)
    fi
    command+=("${tool[@]}")
else
    command=("$python" "${tool[@]}")
    ((gpus == 0)) || command+=(--num-gpus "$gpus")
    ((nodes == 1)) || command+=(--num-machines "$nodes" --machine-rank "$rank" --dist-url "tcp://$host:$port")
fi
! $resume || command+=(--resume)
command+=("$@")
if $dry_run; then
    printf '%q ' "${command[@]}"
    echo
else
    exec "${command[@]}"
fi
