! Lookahead in Fortran, by itself, and what lets the golden suite talk to it.
!
!   gfortran -O2 -o lookahead lookahead.f90
!   ./lookahead                              answers JSON lines: lookahead-ref conform --command
program lookahead
  use, intrinsic :: iso_fortran_env, only: int64, real32, real64, iostat_end
  implicit none

  ! All parameters are one array, as rules are elementwise; each lies in it as Fortran has it,
  ! column by column. x(:, 0, 0) is theta and x(:, s, 0) a slot; x(:, 0, l) is phi of a level,
  ! the outermost first, and x(:, s, l) the anchor of a slot.
  type state
    real(real64), allocatable :: x(:, :, :)
    integer(int64), allocatable :: counts(:, :)
  end type
  integer, parameter :: steps = 1, others = 2 ! counts: of level 0 updates, of others syncs
  type(state) :: my, kept
  character(:), allocatable :: config, rule, decay_kind, line, what
  integer, allocatable :: first(:), rows(:), columns(:)
  logical :: single

  do
    line = next_line()
    what = text(member(line, 'do'))
    select case (what)
    case ('stop')
      exit
    case ('hello')
      call say('{"version":1,"name":"lookahead.f90"}')
    case ('step')
      call step(read_tensors(member(line, 'gradients')))
      call say(seen())
    case ('evaluate')
      call say('{"weights":' // tensors(my%x(:, 0, 1)) // '}')
    case ('dump')
      call say('{"state":"' // dumped(kept) // '"}')
    case default
      if (what == 'start') call start(member(line, 'case'), text(member(line, 'dtype')))
      if (what == 'snapshot') kept = my ! a copy, arrays included
      if (what == 'load') call load(text(member(line, 'state')))
      call say('{"ok":true}')
    end select
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

  real(real64) function at(table, tick)
    character(*), intent(in) :: table
    integer(int64), intent(in) :: tick
    at = r(from_bits(text(item(table, min(int(tick) + 1, length(table))))))
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
    integer :: i, depth, slots
    config = given
    single = dtype == 'float32'
    rule = text(member(member(config, 'inner'), 'rule'))
    decay_kind = text(member(member(config, 'inner'), 'weight_decay_kind'))
    slots = 1
    if (rule == 'sgd') slots = 0
    if (rule == 'adam') slots = 2
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
    if (allocated(my%x)) deallocate (my%x, my%counts)
    allocate (my%x(first(size(first)) - 1, 0:slots, 0:depth), my%counts(2, 0:depth))
    my%x = 0
    my%counts = 0
    ! phi starts as the parameters themselves, before any step.
    my%x(:, 0, :) = spread(read_tensors(params), 2, depth + 1)
  end subroutine

  subroutine step(gradient)
    real(real64), intent(in) :: gradient(:)
    real(real64) :: g(size(gradient)), u(size(gradient)), rate, decay
    integer :: level
    decay = hyperparameter('weight_decay')
    rate = at(member(config, 'learning_rate'), my%counts(steps, 0))
    my%counts(:, 0) = my%counts(:, 0) + 1
    associate (x => my%x(:, 0, 0))
      g = gradient
      if (decay_kind == 'l2') g = r(g + r(decay*x))
      u = update(g, my%x(:, 1:, 0), real(my%counts(others, 0), real64))
      if (decay_kind == 'decoupled') u = r(u + r(decay*x))
      x = r(x - r(rate*u))
    end associate
    my%counts(steps, 1:) = my%counts(steps, 1:) + 1
    do level = ubound(my%counts, 2), 1, -1 ! the innermost first
      if (my%counts(steps, level) >= number(member(lookahead_of(level), 'k'))) &
        call synchronize(level)
    end do
  end subroutine

  function update(g, s, t) result(u)
    real(real64), intent(in) :: g(:), t
    real(real64), intent(inout) :: s(:, :)
    real(real64) :: u(size(g)), beta1, beta2
    u = g
    select case (rule)
    case ('heavy-ball', 'nesterov')
      s(:, 1) = r(r(hyperparameter('momentum')*s(:, 1)) + g)
      u = s(:, 1)
      if (rule == 'nesterov') u = r(g + r(hyperparameter('momentum')*u))
    case ('adagrad')
      s(:, 1) = r(s(:, 1) + r(g*g))
      u = r(g/r(r(sqrt(s(:, 1))) + hyperparameter('epsilon')))
    case ('adam')
      beta1 = hyperparameter('beta1')
      beta2 = hyperparameter('beta2')
      s(:, 1) = r(r(beta1*s(:, 1)) + r(r(1 - beta1)*g))
      s(:, 2) = r(r(beta2*s(:, 2)) + r(r(1 - beta2)*r(g*g)))
      u = r(sqrt(r(s(:, 2)/r(1 - beta2**t))))
      u = r(r(s(:, 1)/r(1 - beta1**t))/r(u + hyperparameter('epsilon')))
    end select
  end function

  subroutine synchronize(level)
    integer, intent(in) :: level
    character(:), allocatable :: kind
    real(real64) :: alpha
    integer :: last, below
    kind = text(member(lookahead_of(level), 'inner_state'))
    alpha = at(member(lookahead_of(level), 'alpha'), my%counts(others, level))
    last = 0 ! theta moves; where it is asked for, the slots behind it do so, too
    if (kind == 'interpolate') last = ubound(my%x, 2)
    associate (fast => my%x(:, :last, 0), slow => my%x(:, :last, level))
      fast = r(slow + r(alpha*r(fast - slow)))
    end associate
    if (kind == 'reset') then
      my%x(:, 1:, 0) = 0
      my%counts(others, 0) = 0
      my%counts(steps, level:) = 0
    end if
    my%counts(steps, level) = 0
    my%counts(others, level) = my%counts(others, level) + 1
    do below = level, ubound(my%x, 3) ! it is a synchronization of every level below, too
      my%x(:, :, below) = my%x(:, :, 0)
    end do
  end subroutine

  function lookahead_of(level) result(json)
    integer, intent(in) :: level
    character(:), allocatable :: json
    json = item(member(config, 'lookahead'), level)
  end function

  real(real64) function hyperparameter(name)
    character(*), intent(in) :: name
    character(:), allocatable :: all
    integer :: i
    hyperparameter = 0
    all = member(member(config, 'inner'), 'hyperparameters')
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
        last_of = last_of + scan(json(last_of + 1:) // ',', ',]} ') - 1
      end select
      if (depth == 0) return
      last_of = last_of + verify(json(last_of + 1:), ' ,:')
    end do
  end function

  ! Cut out the value at a place, or the one with a key; without it the text is empty.
  function part(json, place, key) result(found)
    character(*), intent(in) :: json, key
    integer, intent(in) :: place
    character(:), allocatable :: found, name
    integer :: start, last, i
    last = 1
    do i = 1, huge(i) - 1
      start = last + verify(json(last + 1:), ' ,:')
      found = ''
      name = ''
      if (scan(json(start:start), ']}') > 0) return
      if (json(1:1) == '{') then
        last = last_of(json, start)
        name = json(start + 1:last - 1)
        start = last + verify(json(last + 1:), ' ,:')
      end if
      last = last_of(json, start)
      found = json(start:last)
      if (i == place .or. (name == key .and. key /= '')) return
    end do
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
  function seen() result(json)
    character(:), allocatable :: json
    character(14) :: names(2)
    integer :: i
    names = 'velocity'
    if (rule == 'adagrad') names = 'sum_of_squares'
    if (rule == 'adam') names = [character(14) :: 'first_moment', 'second_moment']
    json = '{"fast":' // tensors(my%x(:, 0, 0)) // ',"slow":['
    do i = 1, ubound(my%x, 3)
      if (i > 1) json = json // ','
      json = json // tensors(my%x(:, 0, i))
    end do
    json = json // '],"slots":['
    do i = 1, ubound(my%x, 2)
      if (i > 1) json = json // ','
      json = json // '{"name":"' // trim(names(i)) // '","values":'
      json = json // tensors(my%x(:, i, 0)) // '}'
    end do
    json = json // ']}'
  end function

  function dumped(from) result(bits)
    type(state), intent(in) :: from
    character(:), allocatable :: bits
    allocate (character(16*(size(from%x) + size(from%counts))) :: bits)
    write (bits, '(*(z16.16))') transfer(from%x, [0_int64]), from%counts
  end function

  subroutine load(bits)
    character(*), intent(in) :: bits
    integer(int64) :: numbers(size(my%x)), counts(size(my%counts))
    read (bits, '(*(z16))') numbers, counts
    my%x(:, :, :) = reshape(transfer(numbers, [0.0_real64]), shape(my%x))
    my%counts(:, :) = reshape(counts, shape(my%counts))
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
end program
