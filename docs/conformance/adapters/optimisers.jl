# Runs mcabbott's Lookahead for Optimisers.jl for `optimisers.py`, as its example does: `setup`, then
# `update!`. The model is a tuple of arrays, and is saved with its tree of states.

include(joinpath(@__DIR__, "shared", "serve.jl"))

module Optimisers

using ..Main: FOLDER, without_imports

# Functors'.
functor(::Type{<:Tuple}, x) = x, identity
functor(x) = functor(typeof(x), x)
isleaf(x) = !(x isa Tuple)

# ChainRulesCore's: gradients here are arrays and `nothing`.
struct Tangent end
struct AbstractZero end

for file in ("interface.jl", "rules.jl")
    include(without_imports, joinpath(FOLDER, file))
end

end

function begun(code, params)
    model = Tuple(params)
    return Optimisers.setup(Optimisers.eval(Meta.parse(code)), model), model
end

# The learning rate is constant.
stepped((tree, model), _, gradients...) = Optimisers.update!(tree, model, gradients)

shown((tree, model)) = ["fast" => model, "slow" => [leaf.state[3] for leaf in tree]]

serve(begun, stepped, shown)
