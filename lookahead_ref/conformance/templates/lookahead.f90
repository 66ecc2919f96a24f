! Lookahead in Fortran, by itself, and what lets the golden suite talk to it.
!
!   gfortran -O2 -o lookahead lookahead.f90
!   ./lookahead                           answers JSON lines: lookahead-ref conform --command
!   ./lookahead wrapper.json > run.jsonl  records what it makes of the vectors: --recorded
program lookahead
  use, intrinsic :: iso_fortran_env, only: int64, real32, real64, iostat_end
  implicit none

  ! All parameters are one array, as rules are elementwise; each lies in it as Fortran has it,
  ! column by column. Level 0 is theta with the inner optimizer, the others are phi with the
  ! outer one, the outermost first. x(:, 0, l) is the weights of a level, x(:, 1:2, l) the
  ! slots of its optimizer, and x(:, 3:4, l) the anchors of the inner slots.
  type state
    real(real64), allocatable :: x(:, :, :)
    integer(int64), allocatable :: counts(:, :)
  end type
  integer, parameter :: clock = 1, updates = 2, steps = 3 ! counts of a level
  character(*), parameter :: blank = ' ,:' // new_line('a')
  type(state), allocatable :: my(:), kept(:) ! a worker each
  character(:), allocatable :: config, file
  integer, allocatable :: first(:), rows(:), columns(:)
  integer :: depth, argument
  logical :: single

  if (command_argument_count() == 0) call speak()
  call say('{"recording":1,"name":"lookahead.f90"}')
  do argument = 1, command_argument_count()
    file = content(argument)
    call record_all(member(file, 'cases'))
  end do

contains

  ! --- Numbers are bit strings of binary64; a table's last entry holds from then on. ---
  real(real64) function from_bits(bits)
    character(*), intent(in) :: bits
    integer(int64) :: whole
    read (bits, '(z16)') whole
    from_bits = transfer(whole, from_bits)
  end function

  character(16) function to_bits(x)
    real(real64), intent(in) :: x
    write (to_bits, '(z16.16)') transfer(x, 0_int64)
  end function

  elemental real(real64) function r(x)
    real(real64), intent(in) :: x
    r = x
    if (single) r = real(x, real32)
  end function

  ! --- The optimizer. ---
  subroutine start(given, dtype)
    character(*), intent(in) :: given, dtype
    character(:), allocatable :: params, param
    real(real64), allocatable :: theta(:)
    integer :: i, workers
    config = given
    single = dtype == 'float32'
    depth = length(member(config, 'lookahead'))
    params = member(config, 'params')
    first = [(1, i=1, length(params) + 1)]
    rows = [(1, i=1, length(params))]
    columns = rows
    do i = 1, length(params)
      param = item(params, i)
      if (length(member(param, 'shape')) > 1) rows(i) = number(item(member(param, 'shape'), 1))
      columns(i) = length(member(param, 'values'))/rows(i)
      first(i + 1) = first(i) + rows(i)*columns(i)
    end do
    theta = read_tensors(params)
    workers = 1
    if (member(config, 'workers') /= '') workers = number(member(config, 'workers'))
    if (allocated(my)) deallocate (my)
    allocate (my(workers))
    do i = 1, workers
      allocate (my(i)%x(size(theta)/workers, 0:4, 0:depth), my(i)%counts(3, 0:depth))
      my(i)%x = 0
      my(i)%counts = 0
      ! phi starts as the parameters themselves, before any step; all start where the first does.
      my(i)%x(:, 0, :) = spread(theta(:size(theta)/workers), 2, depth + 1)
    end do
  end subroutine

  ! The gradient of the first worker, of the second, and so on, behind one another.
  subroutine step(gradient)
    real(real64), intent(in) :: gradient(:)
    real(real64), allocatable :: apart(:)
    integer :: level, m, n
    n = size(gradient)/size(my)
    do m = 1, size(my)
      call descend(my(m), 0, gradient((m - 1)*n + 1:m*n))
      my(m)%counts(steps, 1:) = my(m)%counts(steps, 1:) + 1
    end do
    do level = depth, 1, -1 ! the innermost first
      if (my(1)%counts(steps, level) < number(member(lookahead_of(level), 'k'))) cycle
      apart = spread(0.0_real64, 1, n)
      do m = 1, size(my)
        apart = r(apart + r(my(m)%x(:, 0, level) - my(m)%x(:, 0, 0)))
      end do
      apart = r(apart/size(my))
      do m = 1, size(my)
        call synchronize(my(m), level, apart)
      end do
    end do
  end subroutine

  ! The optimizer of a level, as JSON; alpha is the learning rate of an outer SGD.
  function optimizer(level) result(json)
    integer, intent(in) :: level
    character(:), allocatable :: json
    json = member(config, 'inner')
    if (level > 0) json = member(lookahead_of(level), 'outer')
    if (json == '') json = '{"rule":"sgd","weight_decay_kind":"none","hyperparameters":[]}'
  end function

  real(real64) function rate_of(level, tick)
    integer, intent(in) :: level
    integer(int64), intent(in) :: tick
    character(:), allocatable :: table
    table = member(config, 'learning_rate')
    if (level > 0) table = member(member(lookahead_of(level), 'outer'), 'learning_rate')
    if (table == '') table = member(lookahead_of(level), 'alpha')
    rate_of = r(from_bits(text(item(table, min(int(tick) + 1, length(table))))))
  end function

  ! Update the weights of a level.
  subroutine descend(worker, level, gradient)
    type(state), intent(inout) :: worker
    integer, intent(in) :: level
    real(real64), intent(in) :: gradient(:)
    real(real64) :: g(size(gradient)), u(size(gradient)), rate, decay
    character(:), allocatable :: rule, kind
    rule = optimizer(level)
    kind = text(member(rule, 'weight_decay_kind'))
    decay = hyperparameter(rule, 'weight_decay')
    associate (x => worker%x(:, 0, level), counts => worker%counts(:, level))
      rate = rate_of(level, counts(clock))
      counts(:updates) = counts(:updates) + 1
      g = gradient
      if (kind == 'l2') g = r(g + r(decay*x))
      u = update(rule, g, worker%x(:, 1:2, level), real(counts(updates), real64))
      if (kind == 'decoupled') u = r(u + r(decay*x))
      x = r(x - r(rate*u))
    end associate
  end subroutine

  ! From a gradient and slots to the update; t counts updates since the slots were made.
  function update(rule, g, s, t) result(u)
    character(*), intent(in) :: rule
    real(real64), intent(in) :: g(:), t
    real(real64), intent(inout) :: s(:, :)
    real(real64) :: u(size(g)), momentum, beta1, beta2, epsilon
    momentum = hyperparameter(rule, 'momentum')
    epsilon = hyperparameter(rule, 'epsilon')
    u = g
    select case (text(member(rule, 'rule')))
    case ('heavy-ball')
      s(:, 1) = r(r(momentum*s(:, 1)) + g)
      u = s(:, 1)
    case ('nesterov')
      s(:, 1) = r(r(momentum*s(:, 1)) + g)
      u = r(g + r(momentum*s(:, 1)))
    case ('adagrad')
      s(:, 1) = r(s(:, 1) + r(g*g))
      u = r(g/r(r(sqrt(s(:, 1))) + epsilon))
    case ('adam')
      beta1 = hyperparameter(rule, 'beta1')
      beta2 = hyperparameter(rule, 'beta2')
      s(:, 1) = r(r(beta1*s(:, 1)) + r(r(1 - beta1)*g))
      s(:, 2) = r(r(beta2*s(:, 2)) + r(r(1 - beta2)*r(g*g)))
      u = r(sqrt(r(s(:, 2)/r(1 - beta2**t))))
      u = r(r(s(:, 1)/r(1 - beta1**t))/r(u + epsilon))
    end select
  end function

  ! Step phi by the mean over the workers of phi - theta.
  subroutine synchronize(worker, level, apart)
    type(state), intent(inout) :: worker
    integer, intent(in) :: level
    real(real64), intent(in) :: apart(:)
    character(:), allocatable :: kind
    real(real64) :: alpha
    integer :: below
    kind = text(member(lookahead_of(level), 'inner_state'))
    alpha = min(rate_of(level, worker%counts(clock, level)), 1.0_real64)
    call descend(worker, level, apart)
    associate (x => worker%x, counts => worker%counts, slots => worker%x(:, 1:2, 0))
      if (kind == 'interpolate') slots = r(x(:, 3:4, level) + r(alpha*r(slots - x(:, 3:4, level))))
      if (kind == 'reset') then
        slots = 0
        counts(updates, 0) = 0
        counts(steps, level:) = 0
        x(:, 1:2, level + 1:) = 0 ! outer state of those below; its own runs on
        counts(updates, level + 1:) = 0
      end if
      counts(steps, level) = 0
      x(:, 0, 0) = x(:, 0, level)
      do below = level, depth ! it is a synchronization of every level below, too
        x(:, 0, below) = x(:, 0, level)
        x(:, 3:4, below) = slots
      end do
    end associate
  end subroutine

  function lookahead_of(level) result(json)
    integer, intent(in) :: level
    character(:), allocatable :: json
    json = item(member(config, 'lookahead'), level)
  end function

  real(real64) function hyperparameter(rule, name)
    character(*), intent(in) :: rule, name
    character(:), allocatable :: all
    integer :: i
    hyperparameter = 0
    all = member(rule, 'hyperparameters')
    do i = 1, length(all)
      if (text(member(item(all, i), 'name')) == name) &
        hyperparameter = r(from_bits(text(member(item(all, i), 'value'))))
    end do
  end function

  ! --- Tensors: row by row outside, column by column here. ---
  function turned(x, rows, columns) result(y)
    real(real64), intent(in) :: x(:)
    integer, intent(in) :: rows, columns
    real(real64) :: y(size(x))
    y = reshape(transpose(reshape(x, [columns, rows])), [size(x)])
  end function

  function read_tensors(json) result(x)
    character(*), intent(in) :: json
    real(real64) :: x(first(size(first)) - 1)
    character(:), allocatable :: values
    integer :: i, j
    x = 0 ! of null, too: variant no-gradient-is-zero
    do i = 1, size(rows)
      values = item(json, i)
      if (values(1:1) == '{') values = member(values, 'values')
      if (values == 'null') cycle
      x(first(i):first(i + 1) - 1) = &
        turned([(from_bits(text(item(values, j))), j=1, length(values))], rows(i), columns(i))
    end do
  end function

  function tensors(x) result(json)
    real(real64), intent(in) :: x(:)
    character(:), allocatable :: json
    real(real64), allocatable :: values(:)
    integer :: i, j
    json = '['
    do i = 1, size(rows)
      values = x(first(i):first(i + 1) - 1)
      values = turned(values, columns(i), rows(i))
      json = json // '['
      do j = 1, size(values)
        json = json // '"' // to_bits(values(j)) // merge('"]', '",', j == size(values))
      end do
      json = json // merge(']', ',', i == size(rows))
    end do
  end function

  ! --- JSON: a value is the text that it is written as, from which parts are cut. ---
  integer function last_of(json, start)
    character(*), intent(in) :: json
    integer, intent(in) :: start
    integer :: depth
    depth = 0
    last_of = start
    do
      select case (json(last_of:last_of))
      case ('"')
        last_of = last_of + index(json(last_of + 1:), '"') ! no string has an escape
      case ('[', '{')
        depth = depth + 1
      case (']', '}')
        depth = depth - 1
      case default
        last_of = last_of + scan(json(last_of + 1:), ']}' // blank) - 1
      end select
      if (depth == 0) return
      last_of = last_of + verify(json(last_of + 1:), blank)
    end do
  end function

  ! Cut out the value at a place, or the one with a key; without it the text is empty.
  function part(json, place, key) result(found)
    character(*), intent(in) :: json, key
    integer, intent(in) :: place
    character(:), allocatable :: found
    integer :: start, last, i
    logical :: right
    found = ''
    last = 1
    if (json == '') return
    do i = 1, huge(i) - 1
      start = last + verify(json(last + 1:), blank)
      if (scan(json(start:start), ']}') > 0) return
      right = i == place
      if (json(1:1) == '{') then
        last = last_of(json, start)
        right = json(start + 1:last - 1) == key
        start = last + verify(json(last + 1:), blank)
      end if
      last = last_of(json, start)
      if (right) exit
    end do
    found = json(start:last)
  end function

  function item(json, place) result(found)
    character(*), intent(in) :: json
    integer, intent(in) :: place
    character(:), allocatable :: found
    found = part(json, place, '')
  end function

  function member(json, key) result(found)
    character(*), intent(in) :: json, key
    character(:), allocatable :: found
    found = part(json, 0, key)
  end function

  integer function length(json)
    character(*), intent(in) :: json
    length = 0
    do while (item(json, length + 1) /= '')
      length = length + 1
    end do
  end function

  function text(json)
    character(*), intent(in) :: json
    character(:), allocatable :: text
    text = json(2:len(json) - 1)
  end function

  integer function number(json)
    character(*), intent(in) :: json
    read (json, *) number
  end function

  ! --- The protocol. ---
  subroutine speak()
    character(:), allocatable :: line, what
    do
      line = next_line()
      what = text(member(line, 'do'))
      select case (what)
      case ('stop')
        stop
      case ('hello')
        call say('{"version":1,"name":"lookahead.f90","offers":["outer","workers"]}')
      case ('step')
        call step(read_tensors(member(line, 'gradients')))
        call say(seen())
      case ('evaluate')
        call say(evaluated())
      case ('dump')
        call say('{"state":"' // dumped(kept) // '"}')
      case default
        if (what == 'start') call start(member(line, 'case'), text(member(line, 'dtype')))
        if (what == 'snapshot') kept = my ! a copy, arrays included
        if (what == 'load') call load(text(member(line, 'state')))
        call say('{"ok":true}')
      end select
    end do
  end subroutine

  function of_all(place, level) result(x)
    integer, intent(in) :: place, level
    real(real64), allocatable :: x(:)
    integer :: m
    x = [(my(m)%x(:, place, level), m=1, size(my))]
  end function

  function evaluated() result(json)
    character(:), allocatable :: json
    json = '{"weights":' // tensors(of_all(0, 1)) // '}'
  end function

  function seen() result(json)
    character(:), allocatable :: json, rule
    character(14) :: names(2)
    integer :: i
    rule = text(member(optimizer(0), 'rule'))
    names = ['velocity', '        ']
    if (rule == 'sgd') names = ''
    if (rule == 'adagrad') names(1) = 'sum_of_squares'
    if (rule == 'adam') names = [character(14) :: 'first_moment', 'second_moment']
    json = '{"fast":' // tensors(of_all(0, 0)) // ',"slow":['
    do i = 1, depth
      if (i > 1) json = json // ','
      json = json // tensors(of_all(0, i))
    end do
    json = json // '],"slots":['
    do i = 1, count(names /= '')
      if (i > 1) json = json // ','
      json = json // '{"name":"' // trim(names(i)) // '","values":'
      json = json // tensors(of_all(i, 0)) // '}'
    end do
    json = json // ']}'
  end function

  function dumped(from) result(bits)
    type(state), intent(in) :: from(:)
    character(:), allocatable :: bits
    integer :: m
    allocate (character(16*size(from)*(size(from(1)%x) + size(from(1)%counts))) :: bits)
    write (bits, '(*(z16.16))') (transfer(from(m)%x, [0_int64]), from(m)%counts, m=1, size(from))
  end function

  subroutine load(bits)
    character(*), intent(in) :: bits
    integer(int64) :: numbers(size(my(1)%x), size(my)), counts(size(my(1)%counts), size(my))
    integer :: m
    read (bits, '(*(z16))') (numbers(:, m), counts(:, m), m=1, size(my))
    do m = 1, size(my)
      my(m)%x(:, :, :) = reshape(transfer(numbers(:, m), [0.0_real64]), shape(my(m)%x))
      my(m)%counts(:, :) = reshape(counts(:, m), shape(my(m)%counts))
    end do
  end subroutine

  function next_line() result(all)
    character(:), allocatable :: all
    character(4096) :: piece
    integer :: status, got
    all = ''
    do
      read (*, '(a)', advance='no', size=got, iostat=status) piece
      if (status == iostat_end) stop
      all = all // piece(:got)
      if (status /= 0) return ! the end of the line
    end do
  end function

  subroutine say(json)
    character(*), intent(in) :: json
    write (*, '(a)') json
    flush (6)
  end subroutine

  ! --- Without a runner: the gradients of a case, and a recording of what came of it. ---
  function gradient_of(problem, t) result(g)
    character(*), intent(in) :: problem
    integer, intent(in) :: t
    character(:), allocatable :: bits
    real(real64), allocatable :: g(:), x(:), matrix(:, :)
    integer :: i, j, n
    x = of_all(0, 0)
    select case (text(member(problem, 'kind')))
    case ('tape')
      g = read_tensors(item(member(problem, 'gradients'), t))
    case ('double-well')
      g = read_tensors(member(problem, 'curvature'))
      g = r(r(g*r(r(x*x) - 1))*x)
    case default
      g = r(x - read_tensors(member(problem, 'centre')))
      do i = 1, size(rows)
        n = rows(i)*columns(i)
        bits = item(member(problem, 'matrix'), i)
        matrix = reshape([(from_bits(text(item(bits, j))), j=1, n*n)], [n, n]) ! symmetric
        associate (apart => g(first(i):first(i + 1) - 1))
          apart = turned(matmul(matrix, turned(apart, columns(i), rows(i))), rows(i), columns(i))
        end associate
      end do
      g = r(g)
    end select
  end function

  subroutine record(one, dtype)
    character(*), intent(in) :: one, dtype
    character(:), allocatable :: steps, evaluations, asked
    integer :: t, i
    steps = '{"case":' // member(one, 'id') // ',"dtype":"' // dtype // '",'
    if (member(one, 'save_after') /= '') then
      call say(steps // '"unsupported":"this recorder is one process"}')
      return
    end if
    call start(one, dtype)
    asked = member(one, 'evaluate_after')
    if (asked == '') asked = '[]'
    steps = steps // '"steps":['
    evaluations = ''
    do t = 1, number(member(one, 'steps'))
      call step(gradient_of(member(one, 'problem'), t))
      if (t > 1) steps = steps // ','
      steps = steps // seen()
      do i = 1, length(asked)
        if (number(item(asked, i)) /= t) cycle
        if (evaluations /= '') evaluations = evaluations // ','
        evaluations = evaluations // evaluated()
      end do
    end do
    call say(steps // '],"evaluations":[' // evaluations // ']}')
  end subroutine

  subroutine record_all(cases)
    character(*), intent(in) :: cases
    character(:), allocatable :: one, dtypes
    integer :: i, j
    if (index(cases, '[') /= 1) return ! the index and the schemas have none
    do i = 1, huge(i) - 1
      one = item(cases, i)
      if (one == '') return
      dtypes = member(one, 'dtypes')
      do j = 1, length(dtypes)
        call record(one, text(item(dtypes, j)))
      end do
    end do
  end subroutine

  function content(argument) result(all)
    integer, intent(in) :: argument
    character(:), allocatable :: all
    character(4096) :: name
    integer :: unit, size
    call get_command_argument(argument, name)
    open (newunit=unit, file=name, access='stream', status='old', action='read')
    inquire (unit, size=size)
    allocate (character(size) :: all)
    read (unit) all
    close (unit)
  end function
end program
